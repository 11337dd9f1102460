// A conversation in Rust: std has no AF_VSOCK, so descriptors that libc's calls made are wrapped in a TcpStream,
// and everything after that is std's own code.
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::io::FromRawFd;
use std::time::Duration;

#[repr(C)]
struct SockaddrVm {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    flags: u8,
    zero: [u8; 3],
}

extern "C" {
    fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
    fn bind(fd: i32, name: *const SockaddrVm, length: u32) -> i32;
    fn connect(fd: i32, name: *const SockaddrVm, length: u32) -> i32;
    fn listen(fd: i32, backlog: i32) -> i32;
    fn accept4(fd: i32, name: *mut SockaddrVm, length: *mut u32, flags: i32) -> i32;
}

const AF_VSOCK: u16 = 40;
const SOCK_STREAM_CLOEXEC: i32 = 1 | 0o2000000;

fn checked(result: i32, what: &str) -> i32 {
    assert!(result >= 0, "{what}: {}", std::io::Error::last_os_error());
    result
}

fn serve(fd: i32, name: &SockaddrVm, length: u32) -> std::io::Result<()> {
    checked(unsafe { bind(fd, name, length) }, "bind");
    checked(unsafe { listen(fd, 5) }, "listen");
    let null = std::ptr::null_mut();
    let accepted = checked(unsafe { accept4(fd, null, null as *mut u32, 0o2000000) }, "accept4");
    let mut stream = unsafe { TcpStream::from_raw_fd(accepted) };
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let reversed: String = line.trim_end().chars().rev().collect();
        writeln!(stream, "{reversed}")?;
        line.clear();
    }
    Ok(())
}

fn dial(fd: i32, name: &SockaddrVm, length: u32) -> std::io::Result<()> {
    checked(unsafe { connect(fd, name, length) }, "connect");
    let mut stream = unsafe { TcpStream::from_raw_fd(fd) };

    // There is no such option at a family that is not TCP, and no IP address to be had.
    println!("nodelay: {:?}", stream.set_nodelay(true).unwrap_err().raw_os_error());
    println!("peer_addr: {:?}", stream.peer_addr().unwrap_err().kind());

    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let timed_out = stream.read(&mut [0]).unwrap_err().kind();
    println!("no answer: {}", timed_out == ErrorKind::WouldBlock);
    stream.set_read_timeout(None)?;

    // The answer is as long as the question, more than either side buffers: two threads.
    let mut writer = stream.try_clone()?;
    let sender = std::thread::spawn(move || {
        writer.write_all(b"stressed\n").unwrap();
        writer.write_all(&vec![b'x'; 1_000_000]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    sender.join().unwrap();
    println!("{} {}", &answer[..8], answer.len());
    println!("so_error: {:?}", stream.take_error()?);
    Ok(())
}

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let (cid, port) = (words[2].parse().unwrap(), words[3].parse().unwrap());
    let name = SockaddrVm { family: AF_VSOCK, reserved: 0, port, cid, flags: 0, zero: [0; 3] };
    let length = std::mem::size_of::<SockaddrVm>() as u32;
    let fd = checked(unsafe { socket(AF_VSOCK.into(), SOCK_STREAM_CLOEXEC, 0) }, "socket");
    if words[1] == "listen" { serve(fd, &name, length) } else { dial(fd, &name, length) }
}
