//! Running the real program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Nothing takes longer, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of one test's own.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// A file with `text` in it.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a scratch file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program with nothing of this machine's environment that could be a setting.
pub(crate) fn relay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-relay"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NEURAL_MESH_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let child = relay(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    in_time(move || child.wait_with_output().expect("the program ends"))
}

/// Runs the program to an end that is a failure, and returns the one sentence that says why.
pub(crate) fn failure(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    let sentence = error.strip_suffix('\n').expect("a line");
    assert!(!sentence.contains('\n'), "one sentence: {error}");
    sentence.strip_prefix("mesh-relay: ").expect("the program's name").to_owned()
}

fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::sync_channel(1);
    thread::spawn(move || done.send(work()));
    wait.recv_timeout(PATIENCE).expect("in time")
}

/// A relay that is up. Killed when dropped.
pub(crate) struct Running {
    child: Option<Child>,
    lines: mpsc::Receiver<String>,
    /// What it printed up to and with `ready`.
    pub(crate) started: Vec<Value>,
}

impl Running {
    /// Starts a relay on free loopback ports as programs start it, with `more` arguments.
    pub(crate) fn start(scratch: &Scratch, more: &[&str]) -> Self {
        let key = scratch.path("key");
        let mut arguments = vec!["--json", "--key", &key, "--http", "127.0.0.1:0", "--no-mdns"];
        if !more.contains(&"--listen") {
            arguments.extend(["--listen", "/ip4/127.0.0.1/tcp/0/ws"]);
        }
        if !more.contains(&"--stun") {
            arguments.extend(["--stun", "off"]);
        }
        arguments.extend(more);
        Self::spawn(relay(&arguments))
    }

    /// Starts `command`, which prints JSON.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut running = Self::spawn_only(&mut command);
        while running.started.last().is_none_or(|line| line["event"] != "ready") {
            let line = running.line().expect("the relay gets ready");
            running.started.push(serde_json::from_str(&line).expect("JSON"));
        }
        running
    }

    /// Starts `command` and waits for nothing.
    pub(crate) fn spawn_only(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("its stdout");
        let (line, lines) = mpsc::sync_channel(1024);
        thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        Self { child: Some(child), lines, started: Vec::new() }
    }

    /// The next line on stdout, `None` at its end.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("not a line in time"),
        }
    }

    /// The value of `key` in the first line about `event`.
    pub(crate) fn told(&self, event: &str, key: &str) -> String {
        let line = self.started.iter().find(|line| line["event"] == event).expect("told");
        line[key].as_str().expect("text").to_owned()
    }

    /// The status code, header and body of an HTTP endpoint.
    pub(crate) fn get(&self, path: &str) -> (u16, String, String) {
        self.get_from("http", path)
    }

    /// The same of what is served where the line about `event` says.
    pub(crate) fn get_from(&self, event: &str, path: &str) -> (u16, String, String) {
        let address = self.told(event, "address");
        let mut stream = TcpStream::connect(address.strip_prefix("http://").expect("http")).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (header, body) = answer.split_once("\r\n\r\n").expect("a header");
        let code = header.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
        (code, header.to_lowercase(), body.to_owned())
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let (_, _, text) = self.get("/metrics");
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id();
        let kill = Command::new("sh").args(["-c", &format!("kill -s {signal} {id}")]).status();
        assert!(kill.expect("a shell").success());
    }

    /// Sends a signal by its name and waits for the end.
    pub(crate) fn end_by(mut self, signal: &str) -> (ExitStatus, Vec<String>) {
        self.signal(signal);
        let mut child = self.child.take().expect("it runs");
        let status = in_time(move || child.wait().expect("it ends"));
        let rest = std::iter::from_fn(|| self.line()).collect();
        (status, rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
