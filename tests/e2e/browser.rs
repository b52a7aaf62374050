//! Chromium without a screen, told what to do by chromedriver over plain HTTP.
//!
//! What a page has to do is said in the tests. The rules: every wait has a deadline, the browser reaches nothing but
//! 127.0.0.1, and both programs are ended with their owner. Source: W3C WebDriver, sections 8 to 17.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::launch::Folder;

/// A browser with one window.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    /// Where the browser keeps what it must keep.
    _profile: Folder,
}

impl Browser {
    /// Starts a browser whose window shows so many pixels.
    #[track_caller]
    pub(crate) fn start(width: u32, height: u32) -> Self {
        let (driver, address) = drive();
        let profile = Folder::new();
        let mut browser = Self {
            driver,
            address,
            session: String::new(),
            _profile: profile,
        };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [&[profile.as_str()], ARGUMENTS].concat();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.ask("POST", "/session", &wanted);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        // What a window measures outside differs from what it shows; this is what it shows.
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        browser.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        browser
    }

    /// Goes to an address and waits until the page is loaded.
    #[track_caller]
    pub(crate) fn go(&self, url: &str) {
        self.command("POST", "/url", &json!({"url": url}));
    }

    /// What the body of a function returns in the page; a promise is waited for.
    #[track_caller]
    pub(crate) fn run(&self, body: &str) -> Value {
        self.command(
            "POST",
            "/execute/sync",
            &json!({"script": body, "args": []}),
        )
    }

    /// Waits until the body of a function returns something true in the page, and answers it.
    #[track_caller]
    pub(crate) fn wait(&self, time_ms: u64, what: &str, body: &str) -> Value {
        let until = Instant::now() + Duration::from_millis(time_ms);
        loop {
            let seen = self.run(body);
            if !matches!(&seen, Value::Null | Value::Bool(false)) && seen != "" && seen != 0 {
                return seen;
            }
            if Instant::now() > until {
                let shown = self.run("return document.body.innerText.slice(0, 3000)");
                panic!("{what}: not within {time_ms} ms; the page shows {shown:#}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Clicks on the first element that a selector finds.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.command("POST", "/element", &wanted);
        let element = found.as_object().unwrap().values().next().unwrap();
        let path = format!("/element/{}/click", element.as_str().unwrap());
        self.command("POST", &path, &json!({}));
    }

    /// Presses keys one after the other, wherever the focus is.
    #[track_caller]
    pub(crate) fn press(&self, keys: &[&str]) {
        let strokes = keys.iter().flat_map(|key| {
            ["keyDown", "keyUp"].map(|stroke| json!({"type": stroke, "value": key}))
        });
        let strokes: Vec<Value> = strokes.collect();
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]});
        self.command("POST", "/actions", &actions);
    }

    /// Which part of the time that `meanwhile` takes the page's scripts run, the clearing up after them included.
    ///
    /// Sampled each millisecond: the browser's own sum leaves out what runs when a promise is kept.
    #[track_caller]
    pub(crate) fn scripting(&self, meanwhile: impl FnOnce()) -> f64 {
        self.devtools("Profiler.enable", &json!({}));
        self.devtools("Profiler.start", &json!({}));
        meanwhile();
        let told = self.devtools("Profiler.stop", &json!({}));
        let profile = &told["profile"];
        let list = |name: &str| profile[name].as_array().unwrap().iter();
        let is_script = |node: &&Value| {
            let name = node["callFrame"]["functionName"].as_str().unwrap();
            !["(idle)", "(program)", "(root)"].contains(&name)
        };
        let scripts: Vec<&Value> = list("nodes")
            .filter(is_script)
            .map(|node| &node["id"])
            .collect();
        let (mut all_us, mut script_us) = (0.0, 0.0);
        for (node, time_us) in list("samples").zip(list("timeDeltas")) {
            let time_us = time_us.as_f64().unwrap();
            all_us += time_us;
            if scripts.contains(&node) {
                script_us += time_us;
            }
        }
        script_us / all_us
    }

    /// Errors and warnings of the page since the last call: faults of scripts, refusals of the page's own policy.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let told = self.command("POST", "/se/log", &json!({"type": "browser"}));
        let lines = told.as_array().unwrap().iter();
        let grave = lines.filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        grave.map(|line| line["message"].to_string()).collect()
    }

    /// Every address that the page has fetched.
    #[track_caller]
    pub(crate) fn fetched(&self) -> Vec<String> {
        let told = self.run("return performance.getEntriesByType('resource').map(it => it.name)");
        let names = told.as_array().unwrap().iter();
        names.map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// Says something to the browser in its own protocol.
    #[track_caller]
    pub(crate) fn devtools(&self, method: &str, parameters: &Value) -> Value {
        let command = json!({"cmd": method, "params": parameters});
        self.command("POST", "/goog/cdp/execute", &command)
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let told = request(self.address, method, path, body).unwrap();
        let value = &told["value"];
        assert!(
            value["error"].is_null(),
            "{method} {path} {body}: {value:#}"
        );
        value.clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            drop(request(self.address, "DELETE", &path, &json!({})));
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// Asks the driver, which leaves its connections open whatever it was told: the answer's length says where it ends.
fn request(address: SocketAddr, method: &str, path: &str, body: &Value) -> io::Result<Value> {
    let body = body.to_string();
    let bytes = body.len();
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {bytes}\r\n\r\n"
    );
    socket.write_all((head + &body).as_bytes())?;
    let (mut answer, mut line, mut bytes) = (BufReader::new(socket), String::new(), 0);
    while line != "\r\n" {
        line.clear();
        answer.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(length) = lower.strip_prefix("content-length:") {
            bytes = length.trim().parse().unwrap();
        }
        assert!(!line.is_empty(), "{method} {path}: no answer");
    }
    let mut text = vec![0; bytes];
    answer.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Starts chromedriver on a free port.
#[track_caller]
fn drive() -> (Child, SocketAddr) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("chromedriver is missing (apt-get install chromium-driver): {error}")
        });
    let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = said.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse::<u16>().ok()
    });
    // What else it says is read, or it would wait for a reader.
    std::thread::spawn(move || said.for_each(drop));
    let port = port.expect("chromedriver names its port");
    (driver, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Longer than a browser takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tests run as root, without a screen, a graphics card or much shared memory, and the browser asks nobody for news.
const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
];
