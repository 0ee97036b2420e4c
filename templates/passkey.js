// Asks the browser for a passkey and sends its answer with the page's form. Without it, or in a
// browser that knows no passkeys, the page keeps saying so and offers another method.
(() => {
  "use strict";
  const form = document.getElementById("passkey");
  const button = document.getElementById("passkey-go");
  const trouble = document.getElementById("passkey-trouble");
  if (!form || !button || !window.PublicKeyCredential || !navigator.credentials) return;

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list || []).map((known) => ({ ...known, id: bytes(known.id) }));

  const added = async (options) => {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: named(options.excludeCredentials),
      },
    });
    return [made, {
      attestationObject: text(made.response.attestationObject),
      clientDataJSON: text(made.response.clientDataJSON),
      transports: made.response.getTransports ? made.response.getTransports() : [],
    }];
  };

  const proved = async (options) => {
    const found = await navigator.credentials.get({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        allowCredentials: named(options.allowCredentials),
      },
    });
    const handle = found.response.userHandle;
    return [found, {
      authenticatorData: text(found.response.authenticatorData),
      clientDataJSON: text(found.response.clientDataJSON),
      signature: text(found.response.signature),
      userHandle: handle ? text(handle) : null,
    }];
  };

  const say = (words) => {
    trouble.textContent = words;
    trouble.hidden = words === "";
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    say("");
    try {
      const options = JSON.parse(form.dataset.options).publicKey;
      const ask = form.dataset.ceremony === "add" ? added : proved;
      const [credential, response] = await ask(options);
      form.elements.answer.value = JSON.stringify({
        id: credential.id,
        rawId: text(credential.rawId),
        type: credential.type,
        response,
      });
      form.submit();
    } catch (error) {
      button.disabled = false;
      say(error.name === "InvalidStateError" ? form.dataset.known : form.dataset.failed);
      button.focus();
    }
  });

  document.getElementById("passkey-off").hidden = true;
  button.hidden = false;
  // The words of what went wrong are read out, not skipped by a focus that jumps over them.
  if (!document.getElementById("wrong")) button.focus();
})();
