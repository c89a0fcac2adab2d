//! An object store and web server on loopback, for tests: parts of objects, ETags, conditions, listings by pages; and it can be told to
//! fail, to break off, to wait for company, or to replace what it serves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Objects of a page of a listing.
const PAGE: usize = 5;

/// What was asked for.
pub struct Asked {
    /// How many requests came before.
    pub number: usize,
    pub method: String,
    /// The path without the query, decoded.
    pub path: String,
    pub query: String,
    /// First and last byte.
    pub range: Option<(usize, usize)>,
    if_match: Option<String>,
}

/// How it is answered.
pub enum Answer {
    Properly,
    /// With a status and no more.
    Status(u16),
    /// With half of what was promised, and the end of the connection.
    HalfOf,
    /// Properly, but not before another request is under way, or some seconds have passed.
    InCompany,
}

/// What ETags and times are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Strong,
    Weak,
    Nothing,
}

type Rule = Box<dyn Fn(&State, &Asked) -> Answer + Send + Sync>;

/// An object's bytes, and how often it was put.
type Kept = (Arc<Vec<u8>>, u64);

pub struct State {
    /// Content and version, by path.
    objects: Mutex<BTreeMap<String, Kept>>,
    rule: Mutex<Arc<Rule>>,
    told: Mutex<Told>,
    versions: AtomicU64,
    asked: AtomicUsize,
    /// Bytes of bodies that were sent.
    sent: AtomicU64,
    /// Requests under way: now and at most.
    under_way: Mutex<(usize, usize)>,
    company: Condvar,
    ended: AtomicBool,
}

pub struct Server {
    address: SocketAddr,
    pub state: Arc<State>,
}

impl State {
    pub fn put(&self, path: &str, content: Vec<u8>) {
        let version = self.versions.fetch_add(1, Ordering::SeqCst);
        self.objects.lock().unwrap().insert(path.to_owned(), (Arc::new(content), version));
    }

    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.objects.lock().unwrap().get(path).map(|(content, _)| content.to_vec())
    }

    pub fn remove(&self, path: &str) {
        self.objects.lock().unwrap().remove(path);
    }
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let properly: Rule = Box::new(|_, _| Answer::Properly);
        let state = Arc::new(State {
            objects: Mutex::default(),
            rule: Mutex::new(Arc::new(properly)),
            told: Mutex::new(Told::Strong),
            versions: AtomicU64::new(1),
            asked: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            under_way: Mutex::default(),
            company: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::clone(&state) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if state.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), state) = (stream, Arc::clone(&state)) else { continue };
                // A client that goes away ends the thread.
                std::thread::spawn(move || drop(serve(&state, stream)));
            }
        });
        server
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves a file, or each file below a folder.
    pub fn serve(&self, from: &Path, at: &str) {
        if from.is_dir() {
            for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
                self.serve(&entry.path(), &format!("{at}/{}", entry.file_name().to_str().unwrap()));
            }
        } else {
            self.state.put(at, std::fs::read(from).unwrap());
        }
    }

    pub fn rule(&self, rule: impl Fn(&State, &Asked) -> Answer + Send + Sync + 'static) {
        let rule: Rule = Box::new(rule);
        *self.state.rule.lock().unwrap() = Arc::new(rule);
    }

    pub fn tell(&self, told: Told) {
        *self.state.told.lock().unwrap() = told;
    }

    /// Bytes that were sent since this was asked last.
    pub fn sent(&self) -> u64 {
        self.state.sent.swap(0, Ordering::SeqCst)
    }

    pub fn most_under_way(&self) -> usize {
        self.state.under_way.lock().unwrap().1
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// Answers the requests of a connection, one after another.
fn serve(state: &State, stream: TcpStream) -> std::io::Result<()> {
    let mut from = BufReader::new(stream.try_clone()?);
    let mut to = stream;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
        let (path, query) = target.split_once('?').unwrap_or((target.as_str(), ""));
        let number = state.asked.fetch_add(1, Ordering::SeqCst);
        let (path, query) = (decoded(path.trim_end_matches('/')), decoded(query));
        let mut asked = Asked { number, method, path, query, range: None, if_match: None };
        loop {
            let mut header = String::new();
            from.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            match (name.to_lowercase().as_str(), value.trim()) {
                ("range", value) => {
                    let (first, last) = value.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                    // Not every store answers when only the end is known.
                    asked.range = Some((first.parse().unwrap(), last.parse().unwrap()));
                }
                ("if-match", value) => asked.if_match = Some(value.to_owned()),
                _ => {}
            }
        }
        {
            let mut under_way = state.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
            state.company.notify_all();
        }
        let goes_on = answer(state, &asked, &mut to);
        state.under_way.lock().unwrap().0 -= 1;
        if !goes_on? {
            return Ok(());
        }
    }
}

/// Answers a request; says whether the connection goes on.
fn answer(state: &State, asked: &Asked, to: &mut TcpStream) -> std::io::Result<bool> {
    let rule = Arc::clone(&state.rule.lock().unwrap());
    let how = rule(state, asked);
    if let Answer::Status(status) = how {
        return status_only(to, status);
    }
    if matches!(how, Answer::InCompany) {
        let alone = |under_way: &mut (usize, usize)| under_way.1 < 2;
        drop(state.company.wait_timeout_while(state.under_way.lock().unwrap(), Duration::from_secs(5), alone));
    }
    if asked.query.contains("list-type=2") {
        let text = listing(state, asked);
        write!(to, "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{text}", text.len())?;
        return Ok(true);
    }
    let told = *state.told.lock().unwrap();
    let found = state.objects.lock().unwrap().get(&asked.path).cloned();
    let Some((content, version)) = found else { return status_only(to, 404) };
    let etag = format!("\"v{version}\"");
    if asked.if_match.as_ref().is_some_and(|wanted| *wanted != etag || told != Told::Strong) {
        return status_only(to, 412);
    }
    let (first, last) = asked.range.unwrap_or((0, content.len().saturating_sub(1)));
    let body = content.get(first..(last + 1).min(content.len())).unwrap_or_default();
    let mut head = match asked.range {
        Some(_) => {
            let last = first + body.len() - 1;
            format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}\r\n", content.len())
        }
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    match told {
        Told::Strong => head += &format!("ETag: {etag}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"),
        Told::Weak => head += &format!("ETag: W/{etag}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"),
        Told::Nothing => {}
    }
    write!(to, "{head}Accept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n", body.len())?;
    if asked.method == "HEAD" {
        return Ok(true);
    }
    let sent = if matches!(how, Answer::HalfOf) { &body[..body.len() / 2] } else { body };
    state.sent.fetch_add(sent.len() as u64, Ordering::SeqCst);
    to.write_all(sent)?;
    Ok(sent.len() == body.len())
}

fn status_only(to: &mut TcpStream, status: u16) -> std::io::Result<bool> {
    write!(to, "HTTP/1.1 {status} As Told\r\nContent-Length: 0\r\n\r\n")?;
    Ok(true)
}

/// A page of the objects of a bucket, as S3 lists them.
fn listing(state: &State, asked: &Asked) -> String {
    let value = |name: &str| asked.query.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")));
    let below = format!("{}/", asked.path);
    let prefix = format!("{below}{}", value("prefix").unwrap_or(""));
    let from: usize = value("continuation-token").map_or(0, |token| token.parse().unwrap());
    let objects = state.objects.lock().unwrap();
    let all: Vec<_> = objects.iter().filter(|(path, _)| path.starts_with(&prefix)).collect();
    let mut text = "<?xml version=\"1.0\"?><ListBucketResult>".to_owned();
    for (path, (content, version)) in all.iter().skip(from).take(PAGE) {
        text += &format!(
            "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;v{version}&quot;</ETag><Size>{}</Size></Contents>",
            path.strip_prefix(&below).unwrap(),
            content.len()
        );
    }
    if from + PAGE < all.len() {
        text += &format!("<NextContinuationToken>{}</NextContinuationToken>", from + PAGE);
    }
    text + "</ListBucketResult>"
}
