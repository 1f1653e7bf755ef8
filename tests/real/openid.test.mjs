// Logins and token requests against `oidc-provider`, which is certified for OpenID Connect.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, test } from "node:test";
import Provider from "oidc-provider";
import { browser, close, eventually, freePort, gateway, json, project, serve, submit } from "./support.mjs";

const SECRET = "a secret of at least thirty-two bytes";
const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
const signing = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = (key, alg) => ({ ...key.export({ format: "jwk" }), kid: alg, use: "sig", alg });

let chromium;
before(async () => (chromium = await browser()));
after(() => chromium.close());

/** A provider that knows the client of the example, at a port that may be given. */
async function provider({ port, app, pkce = false, alg = "RS256" } = {}) {
  const server = await serve((request, response) => server.callback(request, response), port);
  const methods = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"];
  const machines = methods.map((method) => ({
    client_id: method,
    client_secret: method === "private_key_jwt" ? undefined : SECRET,
    token_endpoint_auth_method: method,
    jwks: method === "private_key_jwt" ? { keys: [jwk(own.publicKey, "ES256")] } : undefined,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  }));
  const key = alg === "RS256" ? signing.privateKey : own.privateKey;
  server.provider = new Provider(server.origin, {
    clients: [
      {
        client_id: "my-app",
        client_secret: "my-app-secret",
        redirect_uris: [`${app}/callback`],
        id_token_signed_response_alg: alg,
      },
      ...machines,
    ],
    clientAuthMethods: methods,
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    cookies: { keys: ["cookies of a test"] },
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: true } },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true }),
    }),
    jwks: { keys: [jwk(key, alg)] },
    pkce: { required: () => pkce },
  });
  server.callback = server.provider.callback();
  return server;
}

/** Runs the example with a provider; ends both. */
async function withExample(options, change, check) {
  const configuration = change(await project("examples/login-openid/couper.hcl"));
  const port = await freePort();
  const run = await gateway(configuration, { OIDC_ISSUER: `http://localhost:${port}` });
  const context = await chromium.createBrowserContext();
  let server;
  try {
    const start = async () => (server = await provider({ port, app: run.origin, ...options }));
    if (!options.late) await start();
    await check(await context.newPage(), run, start, port);
  } finally {
    await context.close();
    await run.stop();
    if (server) await close(server);
  }
}

/** Waits until the gateway knows the provider, which starts after it. */
function known(run) {
  return eventually("the gateway knows the provider", async () => {
    const response = await fetch(run.origin, { redirect: "manual" });
    return response.status === 303;
  });
}

async function logIn(page, name) {
  await page.type("[name=login]", name);
  await page.type("[name=password]", "any");
  await submit(page);
  await submit(page); // consent
}

for (const [how, options, method] of [
  ["PKCE", { pkce: true }, ""],
  ["nonce", {}, 'verifier_method = "nonce"'],
  ["PKCE and keys for ES256", { pkce: true, alg: "ES256" }, ""],
]) {
  test(`a user logs in with ${how}`, async () => {
    const change = (text) => text.replace('scope             = "email"', `scope = "email"\n${method}`);
    await withExample(options, change, async (page, run) => {
      await known(run);
      await page.goto(run.origin);
      const asked = new URL(page.url());
      assert.match(asked.pathname, /^\/interaction\//);
      await logIn(page, "jane");
      assert.equal(page.url(), `${run.origin}/`);
      assert.deepEqual(await json(page), { email: "jane@example.com", hello: "jane" });
      // The session lasts without the provider.
      await page.reload();
      assert.equal((await json(page)).hello, "jane");
      const callback = run.log.split("\n").find((line) => line.includes("/callback?"));
      assert.match(callback, /code=\[redacted\]/);
    });
  });
}

test("a user says no", async () => {
  await withExample({ pkce: true }, (text) => text, async (page, run) => {
    await known(run);
    await page.goto(run.origin);
    await page.type("[name=login]", "jane");
    await page.type("[name=password]", "any");
    await submit(page);
    await submit(page, "a[href$=abort]");
    assert.match(page.url(), /\/callback\?error=access_denied/);
    assert.equal(await page.$eval("body", (body) => body.innerText), "You could not be logged in.");
    await eventually("the log says why", () => run.log.includes("error=access_denied"));
  });
});

test("an answer is of no use to another browser", async () => {
  await withExample({ pkce: true }, (text) => text, async (page, run) => {
    await known(run);
    await page.goto(run.origin);
    await page.setRequestInterception(true);
    const stolen = new Promise((resolve) => {
      page.on("request", (request) => {
        if (!request.url().startsWith(`${run.origin}/callback`)) return request.continue();
        resolve(request.url());
        return request.abort();
      });
    });
    await page.type("[name=login]", "jane");
    await page.type("[name=password]", "any");
    await submit(page);
    await page.click("[type=submit]");
    const url = await stolen;
    const without = await fetch(url, { redirect: "manual" });
    assert.equal(without.status, 403);
    const cookie = `verifier=${"A".repeat(43)}`;
    const other = await fetch(url, { redirect: "manual", headers: { cookie } });
    assert.equal(other.status, 403);
    await eventually("the log says why", () => run.log.includes("invalid_grant"));
  });
});

test("a provider may start late, and stop", async () => {
  await withExample({ pkce: true, late: true }, (text) => text, async (page, run, start, port) => {
    const down = await fetch(run.origin, { redirect: "manual" });
    assert.equal(down.status, 500);
    assert.equal((await fetch(`${run.origin}/logout`)).status, 200);
    assert.equal((await fetch(`${run.origin}/callback?code=x`)).status, 403);
    const server = await start();
    await known(run);
    await page.goto(run.origin);
    await logIn(page, "june");
    assert.equal((await json(page)).hello, "june");
    await close(server);
    assert.equal((await page.reload()).status(), 200);
    // What is known of it is still good.
    assert.equal((await fetch(run.origin, { redirect: "manual" })).status, 303);
  });
});

test("client credentials with every way to authenticate", async () => {
  const server = await provider({ app: "http://localhost" });
  const seen = [];
  const resource = await serve((request, response) => {
    seen.push(request.headers.authorization);
    response.end("resource");
  });
  const pem = own.privateKey.export({ format: "pem", type: "pkcs8" });
  const profile = {
    client_secret_jwt: 'jwt_signing_profile {\nsignature_algorithm = "HS256"\nttl = "10s"\n}',
    private_key_jwt:
      `jwt_signing_profile {\nsignature_algorithm = "ES256"\nttl = "10s"\nkey = <<KEY\n${pem}KEY\n` +
      'headers = { kid = "ES256" }\nclaims = { aud = env.ISSUER }\n}',
  };
  const methods = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"];
  const backends = methods.map((method) => `
    endpoint "/${method}" {
      proxy {
        backend {
          origin = "${resource.origin}"
          oauth2 {
            grant_type = "client_credentials"
            token_endpoint = "${server.origin}/token"
            token_endpoint_auth_method = "${method}"
            client_id = "${method}"
            ${method === "private_key_jwt" ? "" : `client_secret = "${SECRET}"`}
            ${profile[method] ?? ""}
          }
        }
      }
    }`);
  const configuration = `server {\nhosts = ["*:8080"]\n${backends.join("\n")}\n}\n`;
  const run = await gateway(configuration, { ISSUER: server.origin });
  try {
    for (const method of methods) {
      const response = await fetch(`${run.origin}/${method}`);
      assert.equal(response.status, 200, `${method}: ${run.log}`);
      const [, token] = seen.at(-1).split(" ");
      const found = await server.provider.ClientCredentials.find(token);
      assert.equal(found.clientId, method);
    }
  } finally {
    await run.stop();
    await close(server);
    await close(resource);
  }
});
