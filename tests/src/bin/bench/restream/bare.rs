//! The least that can answer a request: a thread for each connection that writes the same bytes
//! from memory again and again. What the socket takes, it sends: nothing that copies its answers
//! from memory is faster.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Listens until the process ends, and gives the address.
pub(super) fn serve(body: &[u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let answer: Arc<[u8]> = [head.as_bytes(), body].concat().into();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || answer_all(stream, &answer));
        }
    });
    address
}

/// Until the client hangs up or does not want more. It sends a request at a time, in one piece.
fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    // Without it, wrk measures how long the kernel waits for more.
    let _ = stream.set_nodelay(true);
    let mut request = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut request) {
        let close = b"Connection: close";
        let is_last = request[..read].windows(close.len()).any(|it| it == close);
        if stream.write_all(answer).is_err() || is_last {
            return;
        }
    }
}
