//! A page in a real browser: a single-page application of a `spa`, and the API that it calls at another
//! port, which is another origin. `scripts/test` installs the browser.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the support modules are shared between test programs"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test program fails loudly and blocks its own threads only"
)]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::case::Start;
use support::gateway::{Gateway, Printed};
use support::ports;

/// How long the browser may take, its start included.
const PATIENCE: Duration = Duration::from_secs(90);

const PAGE: &str = r#"<!DOCTYPE html>
<html>
<body>
<pre id="result">unfinished</pre>
<script>
const config = __BOOTSTRAP_DATA__;
async function attempt(path, options) {
  try {
    const answer = await fetch(config.api + path, options);
    return await answer.json();
  } catch (error) {
    return error.name;
  }
}
(async () => {
  const result = { path: location.pathname };
  await attempt("/v1/login", { credentials: "include" });
  // Not simple: the browser asks with OPTIONS first.
  result.put = await attempt("/v1/data", {
    method: "PUT",
    credentials: "include",
    headers: { "Content-Type": "application/json", "X-Custom": "yes" },
    body: JSON.stringify({ name: "ada" }),
  });
  // An error of the gateway can be read by the page, too.
  result.refused = await attempt("/v1/guarded");
  result.closed = await attempt("/closed/data");
  document.getElementById("result").textContent = JSON.stringify(result);
})();
</script>
</body>
</html>
"#;

fn configuration(page: u16, api: u16) -> String {
    format!(
        r#"server "page" {{
  hosts = ["localhost:{page}"]
  spa {{
    base_path = "/app"
    bootstrap_file = "app.html"
    bootstrap_data = {{
      api = "http://localhost:{api}"
    }}
    paths = ["/**"]
  }}
}}
server "api" {{
  hosts = ["localhost:{api}"]
  api {{
    base_path = "/v1"
    cors {{
      allowed_origins = ["http://localhost:{page}"]
      allow_credentials = true
    }}
    endpoint "/login" {{
      response {{
        headers = {{
          set-cookie = "sid=from-login; Path=/; HttpOnly"
        }}
        json_body = {{}}
      }}
    }}
    endpoint "/data" {{
      allowed_methods = ["PUT"]
      response {{
        json_body = {{
          method = request.method
          custom = request.headers.x-custom
          cookie = request.cookies.sid
          name   = request.json_body.name
        }}
      }}
    }}
    endpoint "/guarded" {{
      access_control = ["door"]
      response {{}}
    }}
  }}
  api {{
    base_path = "/closed"
    endpoint "/data" {{
      response {{
        json_body = {{}}
      }}
    }}
  }}
}}
definitions {{
  basic_auth "door" {{
    password = "p"
  }}
}}
"#
    )
}

/// The page as it is once its scripts have run.
fn page_of(url: &str, folder: &Path) -> String {
    let chosen = std::env::var("CHROMIUM").ok();
    let usual = ["chromium", "chromium-browser", "google-chrome"];
    let mut browsers = chosen.iter().map(String::as_str).chain(usual);
    let output = folder.join("dom.html");
    let child = browsers.find_map(|browser| {
        Command::new(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--no-first-run",
                "--disable-extensions",
                "--virtual-time-budget=20000",
            ])
            .arg(format!(
                "--user-data-dir={}",
                folder.join("profile").display()
            ))
            .args(["--dump-dom", url])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&output).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    });
    let mut child = child.expect("needs chromium; scripts/test installs it");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the browser did not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
    fs::read_to_string(output).unwrap()
}

#[test]
fn a_single_page_application_calls_an_api_of_another_origin() {
    let folder = tempfile::tempdir().unwrap();
    let (page, api) = (ports::free().unwrap(), ports::free().unwrap());
    fs::write(folder.path().join("app.html"), PAGE).unwrap();
    fs::write(folder.path().join("couper.hcl"), configuration(page, api)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_gateway"));
    let mut gateway = Gateway::new(program, folder.path(), Printed::default());
    gateway.start(&Start::default(), &[page, api]).unwrap();

    // A path that only the application knows.
    let url = format!("http://localhost:{page}/app/orders/7");
    let dom = page_of(&url, folder.path());
    let (_, rest) = dom
        .split_once("<pre id=\"result\">")
        .unwrap_or_else(|| panic!("{dom}"));
    let (text, _) = rest.split_once("</pre>").unwrap();
    let result: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{dom}"));
    assert_eq!(result["path"], "/app/orders/7");
    let put = serde_json::json!({
        "method": "PUT",
        "custom": "yes",
        "cookie": "from-login",
        "name": "ada",
    });
    assert_eq!(result["put"], put, "{result}");
    assert_eq!(result["refused"]["error"]["status"], 401, "{result}");
    // Without `cors` the browser keeps the answer from the page.
    assert_eq!(result["closed"], "TypeError", "{result}");
}
