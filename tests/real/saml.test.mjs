// Logins with the identity provider of `samlp`, which signs by `xml-crypto`.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import samlp from "samlp";
import { browser, close, eventually, gateway, json, project, serve, submit } from "./support.mjs";

let chromium;
before(async () => (chromium = await browser()));
after(() => chromium.close());

/** A fresh key with its certificate, both as PEM. */
function pair() {
  const folder = mkdtempSync(path.join(os.tmpdir(), "idp-"));
  const [key, cert] = [path.join(folder, "key"), path.join(folder, "cert")];
  const args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=idp"];
  execFileSync("openssl", [...args, "-keyout", key, "-out", cert], { stdio: "pipe" });
  const found = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  rmSync(folder, { recursive: true });
  return found;
}

const IDP = pair();
const USER = {
  id: "jane",
  emails: [{ value: "jane@example.com" }],
  displayName: "Jane",
  name: { givenName: "Jane", familyName: "Doe" },
};

class Profile {
  constructor(user) {
    this.user = user;
  }
  getClaims() {
    return { email: this.user.emails[0].value, groups: ["staff", "a & b"] };
  }
  getNameIdentifier() {
    return { nameIdentifier: this.user.id };
  }
}
Profile.prototype.metadata = [];
const profileMapper = Object.assign((user) => new Profile(user), { prototype: Profile.prototype });

/** An identity provider: metadata, a page to log in, and the answer. */
async function provider(options = {}) {
  const issuer = "urn:example:idp";
  const settings = { issuer, ...IDP, profileMapper, ...options };
  const metadata = samlp.metadata({ issuer, ...IDP, profileMapper, redirectEndpointPath: "/sso" });
  const server = await serve((request, response) => {
    const url = new URL(request.url, server.origin);
    request.query = Object.fromEntries(url.searchParams);
    request.originalUrl = request.url;
    request.protocol = "http";
    response.set = (name, value) => response.setHeader(name, value);
    response.send = (content) => {
      if (typeof content === "number") response.statusCode = content;
      response.end(String(content));
    };
    if (url.pathname === "/metadata") return metadata(request, response);
    if (url.pathname !== "/sso") return response.writeHead(404).end();
    if (request.method === "GET") {
      response.set("content-type", "text/html");
      return response.end('<form method="post"><input name="user"><button type="submit">Log in</button></form>');
    }
    return samlp.parseRequest(request, (error, asked) => {
      if (error) throw error;
      server.asked = asked;
      const acs = asked.assertionConsumerServiceURL;
      const answer = samlp.auth({
        ...settings,
        recipient: acs,
        destination: acs,
        getUserFromRequest: () => USER,
        getPostURL: (_audience, _dom, _request, done) => done(null, acs),
      });
      answer(request, response, (fault) => response.writeHead(500).end(String(fault)));
    });
  });
  return server;
}

/** Runs the example with a provider and a page; ends all. */
async function withExample(options, check) {
  const server = await provider(options);
  const configuration = await project("examples/login-saml/couper.hcl");
  const run = await gateway(configuration, { SAML_METADATA_URL: `${server.origin}/metadata` });
  const context = await chromium.createBrowserContext();
  try {
    await check(await context.newPage(), run, server);
  } finally {
    await context.close();
    await run.stop();
    await close(server);
  }
}

/** Logs in; gives the response that the browser posts, which arrives unless it is held back. */
async function logIn(page, run, hold = false) {
  await page.goto(run.origin);
  await page.setRequestInterception(true);
  const posted = new Promise((resolve) => {
    page.on("request", (request) => {
      if (request.url() !== `${run.origin}/acs`) return request.continue();
      resolve(new URLSearchParams(request.postData()).get("SAMLResponse"));
      return hold ? request.abort() : request.continue();
    });
  });
  await page.type("[name=user]", "jane");
  await page.click("[type=submit]");
  const response = await posted;
  if (!hold) await page.waitForFunction(() => document.body?.innerText.includes("hello"));
  return response;
}

/** Posts a response as another client would. */
async function post(run, SAMLResponse, cookie = "") {
  const body = new URLSearchParams({ SAMLResponse });
  const headers = { cookie };
  return fetch(`${run.origin}/acs`, { method: "POST", body, headers, redirect: "manual" });
}

for (const [what, options] of [
  ["assertion", {}],
  ["response", { signAssertion: false, signResponse: true }],
  ["both", { signResponse: true }],
]) {
  test(`a user logs in; signed: ${what}`, async () => {
    await withExample(options, async (page, run, server) => {
      await logIn(page, run);
      assert.equal(page.url(), `${run.origin}/`);
      assert.deepEqual(await json(page), { groups: ["staff", "a & b"], hello: "jane" });
      assert.equal(server.asked.issuer, "my-app");
      assert.equal(server.asked.assertionConsumerServiceURL, `${run.origin}/acs`);
      assert.equal(server.asked.destination, `${server.origin}/sso`);
    });
  });
}

test("a response is of no use to another browser, and of use once", async () => {
  await withExample({}, async (page, run) => {
    const response = await logIn(page, run, true);
    assert.equal((await post(run, response)).status, 403);
    assert.equal((await post(run, response, `verifier=${"A".repeat(43)}`)).status, 403);
    const client = await page.createCDPSession();
    const { cookies } = await client.send("Network.getAllCookies");
    const verifier = cookies.find((cookie) => cookie.name === "verifier").value;
    assert.equal((await post(run, response, `verifier=${verifier}`)).status, 303);
    assert.equal((await post(run, response, `verifier=${verifier}`)).status, 403);
    await eventually("the log says why", () => run.log.includes("the assertion has been used before"));
    assert.ok(!run.log.includes(response.slice(0, 60)));
    assert.ok(!run.log.includes(verifier));
  });
});

test("changed and foreign responses are refused", async () => {
  await withExample({}, async (page, run) => {
    const response = await logIn(page, run, true);
    const client = await page.createCDPSession();
    const { cookies } = await client.send("Network.getAllCookies");
    const cookie = `verifier=${cookies.find((found) => found.name === "verifier").value}`;
    const xml = Buffer.from(response, "base64").toString();
    for (const forged of [
      xml.replaceAll(">jane<", ">admin<"),
      xml.replace(/<Signature.*<\/Signature>/s, ""),
      xml.replace("<saml:Subject>", "<saml:Subject><!-- -->"),
    ]) {
      assert.notEqual(forged, xml);
      assert.equal((await post(run, Buffer.from(forged).toString("base64"), cookie)).status, 403);
    }
  });
  await withExample({ ...pair() }, async (page, run) => {
    await page.goto(run.origin);
    await page.type("[name=user]", "jane");
    await submit(page);
    await eventually("it is refused", () => run.log.includes("the signature is wrong"));
  });
});
