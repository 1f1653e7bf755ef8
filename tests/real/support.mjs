// What the tests with real providers share: a gateway, a browser, servers on free ports.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";

const TOP = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const GATEWAY = process.env.GATEWAY ?? path.join(TOP, "target/debug/gateway");
const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Tries until `attempt` gives something; fails after a generous time. */
export async function eventually(what, attempt) {
  const end = Date.now() + 20_000;
  for (;;) {
    const found = await attempt();
    if (found) return found;
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** A port that nobody listens at. */
export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Serves `handle` at a port, by default a free one; gives the server with its origin. */
export async function serve(handle, port = 0) {
  const server = http.createServer(handle);
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  server.origin = `http://localhost:${server.address().port}`;
  return server;
}

/** Closes a server with its connections. */
export async function close(server) {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** The text of a file of the project. */
export function project(file) {
  return readFile(path.join(TOP, file), "utf8");
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

/** Runs a gateway with a configuration that listens at 8080; gives its origin and its log. */
export async function gateway(configuration, env = {}) {
  const port = await freePort();
  const folder = await mkdtemp(path.join(os.tmpdir(), "gateway-"));
  const file = path.join(folder, "couper.hcl");
  await writeFile(file, configuration.replaceAll("8080", String(port)));
  const args = ["run", "-f", file, "-log-format", "json", "-log-level", "debug"];
  const child = spawn(GATEWAY, args, { env: { ...process.env, ...env } });
  const run = { origin: `http://localhost:${port}`, log: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => (run.log += text));
  }
  const ended = new Promise((resolve) => child.on("exit", resolve));
  run.stop = async () => {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true });
  };
  try {
    await eventually("the gateway listens", async () => {
      if (child.exitCode !== null) throw new Error(`the gateway ended: ${run.log}`);
      return accepts(port);
    });
  } catch (error) {
    await run.stop();
    throw error;
  }
  return run;
}

/** A browser, used by all tests of a file; each takes a context of its own. */
export async function browser() {
  const executablePath = process.env.CHROMIUM ?? CHROMIUM.find(existsSync);
  if (!executablePath) throw new Error("there is no chromium; scripts/test installs it");
  return puppeteer.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"],
  });
}

/** Presses a button and waits for the page after it. */
export async function submit(page, selector = "[type=submit]") {
  await Promise.all([page.waitForNavigation(), page.click(selector)]);
}

/** The JSON that a page shows. */
export async function json(page) {
  return JSON.parse(await page.$eval("body", (body) => body.innerText));
}
