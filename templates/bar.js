// The bar: product switcher, company drop-down, and a warning before an idle end. It stands in a
// shadow tree of its own, above the page, and touches nothing of it. It makes no inline style or
// script, so that it works under a Content-Security-Policy of script-src 'self'.
(function () {
  'use strict';
  if (window !== window.top || window.vestibuleBar || !document.documentElement.attachShadow) { return; }
  window.vestibuleBar = true;

  var WARN_S = 120;
  var own = '/.vestibule/';
  var host = document.createElement('vestibule-bar');
  var shadow = host.attachShadow({ mode: 'open' });
  var sheet = new CSSStyleSheet();
  sheet.replaceSync(
    ':host{all:initial;display:block;font:14px/1.4 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;color-scheme:light dark}' +
    ':host,.warning{--ground:#fff;--ink:#14232a;--line:#c6d1d6;--deed:#0a5a70;--on:#fff}' +
    '@media (prefers-color-scheme:dark){:host,.warning{--ground:#172228;--ink:#e7eef1;--line:#2f3f47;--deed:#74c7dd;--on:#06222b}}' +
    '*{box-sizing:border-box}[hidden]{display:none!important}' +
    'nav{display:flex;flex-wrap:wrap;align-items:center;gap:4px 16px;padding:4px 12px;background:var(--ground);color:var(--ink);border-bottom:1px solid var(--line)}' +
    'ul{display:flex;flex-wrap:wrap;gap:4px 16px;margin:0 auto 0 0;padding:0;list-style:none}' +
    'ul.mine{margin:0}' +
    'a{display:inline-block;padding:5px 0;color:var(--deed)}' +
    'a[aria-current]{color:var(--ink);font-weight:600;text-decoration:none}' +
    'form{display:flex;align-items:center;gap:8px;margin:0}' +
    'select,button{min-height:28px;padding:2px 10px;border:1px solid var(--line);border-radius:6px;background:var(--ground);color:var(--ink);font:inherit}' +
    'button{cursor:pointer}' +
    ':focus-visible{outline:3px solid var(--deed);outline-offset:2px}' +
    '.warning{position:fixed;z-index:2147483647;left:50%;top:12px;transform:translateX(-50%);width:min(30rem,calc(100vw - 24px));padding:16px 20px;border:2px solid var(--deed);border-radius:10px;background:var(--ground);color:var(--ink);box-shadow:0 8px 32px rgb(0 0 0/.3)}' +
    '.warning p{margin:0 0 10px;font-size:16px}' +
    '.warning button,.warning a.deed{min-height:40px;padding:8px 18px;border:0;border-radius:8px;background:var(--deed);color:var(--on);font-weight:600;text-decoration:none}' +
    '.said{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}' +
    '@media print{:host{display:none}}'
  );
  shadow.adoptedStyleSheets = [sheet];

  function make(name, attributes, text) {
    var element = document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    if (text) { element.textContent = text; }
    return element;
  }

  function ask(path, options) {
    return fetch(own + path, Object.assign({
      credentials: 'same-origin', cache: 'no-store', headers: { 'X-Vestibule-Background': '1' }
    }, options));
  }

  // ---- the bar itself -------------------------------------------------------------------------

  var product = '';
  // In the language of whoever sits here, which need not be the page's.
  var words = {};

  function show(view) {
    var nav = make('nav', { 'aria-label': words.applications, lang: words.lang });
    var list = make('ul');
    view.products.forEach(function (place) {
      var item = make('li');
      var here = place.id === view.product;
      if (here) { product = place.name; }
      var link = make('a', here ? { href: '/', 'aria-current': 'true' }
        : { href: own + 'switch?to=' + encodeURIComponent(place.id) }, place.name);
      item.appendChild(link);
      list.appendChild(item);
    });
    nav.appendChild(list);
    if (view.companies.length > 1) { nav.appendChild(companies(view)); }
    var mine = make('ul', { 'class': 'mine' });
    view.offices.concat([{ path: '/account', name: view.person }]).forEach(function (office) {
      var item = make('li');
      item.appendChild(make('a', { href: view.portal + office.path }, office.name));
      mine.appendChild(item);
    });
    nav.appendChild(mine);
    shadow.insertBefore(nav, shadow.firstChild);
    // Beside <body>, not in it: the page's own layout and selectors don't see it.
    document.documentElement.insertBefore(host, document.body);
  }

  function companies(view) {
    var form = make('form');
    var label = make('label', { 'for': 'company', 'class': 'said' }, words.company);
    var select = make('select', { id: 'company' });
    view.companies.forEach(function (place) {
      var option = make('option', { value: place.id }, place.name);
      option.selected = place.id === view.company.id;
      select.appendChild(option);
    });
    form.appendChild(label);
    form.appendChild(select);
    form.appendChild(make('button', { type: 'submit' }, words.switch));
    form.addEventListener('submit', function (event) {
      event.preventDefault();
      ask('company', { method: 'POST', headers: {}, body: new URLSearchParams({ company: select.value }) })
        .then(function (answer) { if (answer.ok) { location.assign('/'); } else { select.value = view.company.id; } });
    });
    return form;
  }

  // ---- time -----------------------------------------------------------------------------------

  var warning = make('div', { 'class': 'warning', role: 'region', hidden: '' });
  var what = make('p', { id: 'what' });
  var stay = make('button', { type: 'button' });
  var back = make('a', { 'class': 'deed', href: '' });
  // Outside of the warning, and there before it: what is hidden, or comes with its words, is not read out.
  var said = make('div', { 'class': 'said', role: 'status', 'aria-live': 'assertive', 'aria-atomic': 'true' });
  [what, stay, back].forEach(function (part) { warning.appendChild(part); });
  shadow.appendChild(said);
  shadow.appendChild(warning);

  var endsAt = 0;
  var atMaximum = false;
  var over = false;
  var timer = 0;
  var asked = 0;
  var lastSaid = 0;
  // Seconds of the gateway's clock in one of ours: 1, but in a demo that runs faster.
  var pace = 1;
  var tabs = window.BroadcastChannel ? new BroadcastChannel('vestibule') : null;

  function learn(view) {
    endsAt = Date.now() + view.idle_remaining_s * 1000 / pace;
    atMaximum = view.idle_remaining_s >= view.maximum_remaining_s;
    over = false;
    plan();
  }

  function left() { return Math.max(0, Math.ceil((endsAt - Date.now()) * pace / 1000)); }

  function speak(theirs) {
    words = theirs;
    warning.lang = words.lang;
    said.lang = words.lang;
    warning.setAttribute('aria-label', words.time_left);
    stay.textContent = words.stay;
    back.textContent = words.log_in_again;
  }

  function filled(text, values) {
    return text.replace(/\{(\w+)\}/g, function (_, name) { return values[name]; });
  }

  function span(seconds) {
    return seconds >= 60
      ? filled(words.minutes_and_seconds, { minutes: Math.floor(seconds / 60), seconds: seconds % 60 })
      : filled(words.seconds, { seconds: seconds });
  }

  function plan() {
    clearTimeout(timer);
    var seconds = left();
    if (over) { return; }
    if (seconds > WARN_S) {
      warning.hidden = true;
      said.textContent = '';
      lastSaid = 0;
      // Timers sleep with the machine: never further ahead than a minute.
      timer = setTimeout(check, Math.min((seconds - WARN_S) * 1000 / pace + 200, 60000));
      return;
    }
    warn(seconds);
    timer = setTimeout(check, 1000);
  }

  // Another tab, of this product or of another, may have gone on: the gateway is asked before
  // anything is shown, and every ten seconds while it is.
  function check() {
    var seconds = left();
    var now = Date.now();
    if (seconds <= WARN_S + 1 && (now - asked > Math.max(1000, 10000 / pace) || seconds === 0)) { asked = now; refresh(); } else { plan(); }
  }

  function refresh() {
    // Nothing can be said before the bar is there; it asks then.
    if (!words.lang) { return; }
    ask('session').then(function (answer) {
      if (answer.status === 401) { ended(); return null; }
      return answer.ok ? answer.json() : null;
    }).then(function (view) {
      if (view) { learn(view); } else if (!over) { clearTimeout(timer); timer = setTimeout(check, 5000); }
    }).catch(function () { clearTimeout(timer); timer = setTimeout(check, 5000); });
  }

  function warn(seconds) {
    what.textContent = filled(atMaximum ? words.ends_in : words.closes_in,
      { name: product || words.this_application, time: span(seconds) });
    stay.hidden = atMaximum;
    back.hidden = true;
    if (warning.hidden) {
      warning.hidden = false;
      if (!host.isConnected) { document.documentElement.insertBefore(host, document.body); }
    }
    // Read out at the beginning and now and then, not every second.
    [120, 60, 30, 10].some(function (mark) {
      if (seconds <= mark && seconds > mark - 5 && lastSaid !== mark) {
        lastSaid = mark;
        said.textContent = what.textContent;
        return true;
      }
      return false;
    });
  }

  function ended() {
    over = true;
    clearTimeout(timer);
    what.textContent = filled(words.is_closed, { name: product || words.this_application });
    stay.hidden = true;
    back.hidden = false;
    back.href = location.href;
    warning.hidden = false;
    said.textContent = what.textContent;
  }

  stay.addEventListener('click', function () {
    ask('session/extend', { method: 'POST', headers: {} }).then(function (answer) {
      if (answer.status === 401) { ended(); return null; }
      return answer.ok ? answer.json() : null;
    }).then(function (view) {
      if (!view) { return; }
      learn(view);
      if (tabs) { tabs.postMessage('extended'); }
    });
  });

  if (tabs) {
    tabs.onmessage = function () { refresh(); };
    // A page that was just opened is activity: the other tabs of this product hear of it.
    tabs.postMessage('opened');
  }
  document.addEventListener('visibilitychange', function () {
    if (!document.hidden && !over) { refresh(); }
  });

  ask('bar').then(function (answer) { return answer.ok ? answer.json() : null; })
    .then(function (view) {
      if (!view || !document.body || document.body.tagName !== 'BODY') { return; }
      pace = view.pace || 1;
      speak(view.words);
      show(view);
      refresh();
    }).catch(function () { /* a page without a bar is a page all the same */ });
})();
