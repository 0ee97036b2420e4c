// A real provider for the tests: `oidc-provider`, with people who need not type anything.
// Its one argument is JSON: client, redirect, after, people. Prints its port, then serves until killed.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// The provider's notices go to console.info, and nobody reads this output after the port: the first
// interaction would end the process with a broken pipe.
console.info = console.error;

const [modules, text] = process.argv.slice(2);
const found = createRequire(`${modules}/package.json`).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(found).href);
const told = JSON.parse(text);
let current = Object.keys(told.people)[0];

const server = createServer();
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const { port } = server.address();
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: told.client.id,
    client_secret: told.client.secret,
    redirect_uris: [told.redirect],
    post_logout_redirect_uris: [told.after],
    response_types: ['code'],
    grant_types: ['authorization_code'],
  }],
  claims: { openid: ['sub', 'amr', 'auth_time'], email: ['email', 'email_verified'], profile: ['name'] },
  findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, ...told.people[id].claims }) }),
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  cookies: { keys: ['of the tests'] },
});
const serve = provider.callback();

async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const login = { accountId: current, amr: told.people[current].amr };
    return provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid email profile');
  const consent = { grantId: await grant.save() };
  return provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

server.on('request', (request, response) => {
  const { pathname } = new URL(request.url, issuer);
  if (pathname.startsWith('/become/')) {
    current = pathname.slice('/become/'.length);
    response.end();
  } else if (pathname.startsWith('/interaction/')) {
    interact(request, response).catch((error) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  } else {
    serve(request, response);
  }
});
console.log(port);
