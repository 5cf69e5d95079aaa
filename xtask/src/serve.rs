//! A small static file server: what the page needs from a host (types, byte ranges) and no more.
//! It listens on this machine only.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use tiny_http::{Header, Method, Request, Response, Server, StatusCode};

/// Enough for the page's parallel downloads.
const THREADS: usize = 8;

/// Serves a directory until the process ends.
pub(crate) fn serve(dir: &Path, port: u16) -> Result<()> {
    let server =
        (port..=port.saturating_add(20)).find_map(|port| Server::http(("127.0.0.1", port)).ok());
    let server = server.ok_or_else(|| anyhow!("no port from {port} on is free"))?;
    let address = server.server_addr();
    println!(
        "Serving http://{}  (Ctrl+C ends it)",
        address.to_string().replace("127.0.0.1", "localhost")
    );
    let (server, dir): (Arc<Server>, Arc<Path>) = (server.into(), dir.into());
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (server, dir) = (server.clone(), dir.clone());
            std::thread::spawn(move || answer_all(&server, &dir))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a server thread ended"))?;
    }
    Ok(())
}

fn answer_all(server: &Server, dir: &Path) {
    while let Ok(request) = server.recv() {
        // A browser that goes away in the middle of an answer is no fault of ours.
        let _ = answer(dir, request);
    }
}

fn answer(dir: &Path, request: Request) -> Result<()> {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Ok(request.respond(plain(405))?);
    }
    let Some((path, mut file)) = open(dir, request.url()) else {
        return Ok(request.respond(plain(404))?);
    };
    let size = file.metadata()?.len();
    let wanted = request.headers().iter().find(|header| header.field.equiv("Range"));
    let range = wanted.map(|header| parse_range(header.value.as_str(), size));
    let (status, start, end) = match range {
        None | Some(Range::Ignored) => (200, 0, size),
        Some(Range::Bytes { start, end }) => (206, start, end),
        Some(Range::Unsatisfiable) => {
            let header = header("Content-Range", &format!("bytes */{size}"))?;
            return Ok(request.respond(plain(416).with_header(header))?);
        }
    };
    file.seek(SeekFrom::Start(start))?;
    let length = end - start;
    let mut headers = vec![
        header("Content-Type", content_type(&path))?,
        header("Accept-Ranges", "bytes")?,
        // The page changes under a developer's hands: the browser asks again each time.
        header("Cache-Control", "no-cache")?,
        header("X-Content-Type-Options", "nosniff")?,
    ];
    if status == 206 {
        headers.push(header("Content-Range", &format!("bytes {start}-{}/{size}", end - 1))?);
    }
    let body = file.take(length);
    let response =
        Response::new(StatusCode(status), headers, body, Some(usize::try_from(length)?), None);
    // Never chunked: the page reads Content-Length.
    Ok(request.respond(response.with_chunked_threshold(usize::MAX))?)
}

fn plain(status: u16) -> Response<std::io::Cursor<Vec<u8>>> {
    let text = match status {
        404 => "Not found\n",
        405 => "Only GET and HEAD are answered\n",
        _ => "That range is not in the file\n",
    };
    Response::from_string(text).with_status_code(status)
}

fn header(name: &str, value: &str) -> Result<Header> {
    Header::from_bytes(name, value).map_err(|()| anyhow!("header {name} is not valid"))
}

/// The file that a URL names, if it lies inside the directory.
fn open(dir: &Path, url: &str) -> Option<(PathBuf, File)> {
    let path = url.split(['?', '#']).next()?;
    let decoded = percent_decode(path)?;
    let relative = Path::new(decoded.trim_start_matches('/'));
    // Nothing but plain names: no `..`, no root, no drive.
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let mut path = dir.join(relative);
    if path.is_dir() {
        path.push("index.html");
    }
    let file = File::open(&path).ok()?;
    file.metadata().ok()?.is_file().then_some((path, file))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<&u8>| b.and_then(|&b| char::from(b).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(['\0', '\\']))
}

#[derive(Debug, PartialEq)]
enum Range {
    /// From `start` up to but without `end`.
    Bytes {
        start: u64,
        end: u64,
    },
    /// Not understood, or several ranges: the whole file is a right answer too.
    Ignored,
    Unsatisfiable,
}

/// Reads a Range header (RFC 9110, section 14.2) for a file of `size` bytes.
fn parse_range(value: &str, size: u64) -> Range {
    let Some((first, last)) = value.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Range::Ignored;
    };
    let (start, end) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if last < first => return Range::Ignored,
        (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, size),
        (Err(_), Ok(count)) if first.trim().is_empty() => (size.saturating_sub(count), size),
        _ => return Range::Ignored,
    };
    if start < end { Range::Bytes { start, end } } else { Range::Unsatisfiable }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|ext| ext.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" | "md" | "ts" | "wgsl" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;
    use std::net::TcpStream;

    /// Serves a directory with `a.wasm` (the bytes 0 to 99) inside and `secret` outside; returns
    /// status line with headers, and the body.
    fn get(path: &str, extra: &str) -> (String, Vec<u8>) {
        let outside = tempfile::tempdir().unwrap();
        let dir = outside.path().join("www");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        std::fs::write(dir.join("a.wasm"), (0..100).collect::<Vec<u8>>()).unwrap();
        std::fs::write(dir.join("index.html"), "<p>").unwrap();
        let server = Server::http("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(server.server_addr().to_ip().unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{extra}\r\n")
            .unwrap();
        answer(&dir, server.recv().unwrap()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let split = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        (String::from_utf8(bytes[..split].to_vec()).unwrap(), bytes[split + 4..].to_vec())
    }

    #[test]
    fn whole_files_have_type_and_length() {
        let (head, body) = get("/a.wasm", "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("Content-Type: application/wasm"), "{head}");
        assert!(head.contains("Content-Length: 100"), "{head}");
        assert_eq!(body, (0..100).collect::<Vec<u8>>());
        let (head, body) = get("/?model=x", "");
        assert!(head.contains("text/html"), "{head}");
        assert_eq!(body, b"<p>");
    }

    #[test]
    fn ranges_are_served() {
        let (head, body) = get("/a.wasm", "Range: bytes=10-19\r\n");
        assert!(head.starts_with("HTTP/1.1 206"), "{head}");
        assert!(head.contains("Content-Range: bytes 10-19/100"), "{head}");
        assert_eq!(body, (10..20).collect::<Vec<u8>>());
        let (head, _) = get("/a.wasm", "Range: bytes=100-\r\n");
        assert!(head.starts_with("HTTP/1.1 416") && head.contains("bytes */100"), "{head}");
    }

    #[test]
    fn nothing_outside_the_directory_is_served() {
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "//../secret",
            "/x/%2E./../../secret",
            "/..%5csecret",
            "/%00",
        ] {
            let (head, body) = get(path, "");
            assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
            assert!(!body.windows(6).any(|window| window == b"secret"), "{path}");
        }
    }

    #[test]
    fn range_headers() {
        let cases = [
            ("bytes=0-0", Range::Bytes { start: 0, end: 1 }),
            ("bytes=5-", Range::Bytes { start: 5, end: 10 }),
            ("bytes=-3", Range::Bytes { start: 7, end: 10 }),
            ("bytes=-30", Range::Bytes { start: 0, end: 10 }),
            ("bytes=2-99", Range::Bytes { start: 2, end: 10 }),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=5-2", Range::Ignored),
            ("bytes=1-2,4-5", Range::Ignored),
            ("lines=1-2", Range::Ignored),
        ];
        for (value, expected) in cases {
            assert_eq!(parse_range(value, 10), expected, "{value}");
        }
    }
}
