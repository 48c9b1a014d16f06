//! Echo over TLS, both sides: rustls works on anything that reads and writes, so it works here unchanged.
//!
//! `cargo run --release --example tls_echo -- --self-signed cert.pem`, then
//! `openssl s_client -connect localhost:7443 -CAfile cert.pem -quiet`, or
//! `cargo run --release --example tls_echo -- --connect localhost:7443 --ca cert.pem`, which sends its standard input.
//!
//! A TLS connection ends with a message of its own (`close_notify`). Without it somebody in between may have cut it off:
//! rustls reports that as `UnexpectedEof`, and so does this.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use corio::signal::{SIGINT, SIGTERM};
use corio_examples::{run, say, tls};
use corio_net::{Connection, Dialer, Server, listen};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

/// How long a handshake, or the next message, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends every client its own bytes back, over TLS. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:7443")]
    addr: String,
    /// Certificates, the server's first, as PEM.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// Their key, as PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Makes a certificate for localhost, and writes it to this file.
    #[arg(long, conflicts_with = "cert", value_name = "FILE")]
    self_signed: Option<PathBuf>,
    /// Be a client of the server at HOST:PORT: send standard input, print what comes back.
    #[arg(long, requires = "ca", value_name = "HOST:PORT")]
    connect: Option<String>,
    /// Certificates that the client trusts, as PEM.
    #[arg(long)]
    ca: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("tls_echo", move || match (&args.connect, &args.ca) {
        (Some(addr), Some(ca)) => client(addr, ca),
        _ => server(&args),
    })
}

fn server(args: &Args) -> io::Result<()> {
    let made = args.self_signed.as_deref();
    let config =
        tls::server_config(args.cert.as_deref(), args.key.as_deref(), made)?.ok_or_else(|| {
            io::Error::other("a certificate is needed: --cert and --key, or --self-signed")
        })?;
    let server = Server::new(move |conn| echo(conn, &config))
        .name("tls_echo")
        .max_connections(10_000)
        .read_timeout(PATIENCE)
        .write_timeout(PATIENCE)
        .on_error(|conn, error| drop(writeln!(io::stderr(), "{conn}: {error}")))
        .shutdown_on(&[SIGINT, SIGTERM], Duration::from_secs(1))
        .start([listen("tcp", &args.addr)?])?;
    say!("tls_echo: listening on {}", server.addrs()[0]);
    let report = server.wait();
    say!(
        "tls_echo: stopped after {} connections; {report}",
        server.stats().accepted
    );
    Ok(())
}

/// Serves one connection. The handshake happens with the first read.
fn echo(conn: &Connection, config: &Arc<ServerConfig>) -> io::Result<()> {
    let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(tls, conn);
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => stream.write_all(&buffer[..n])?,
            Err(error) if error.kind() == ErrorKind::TimedOut => break,
            Err(error) => {
                // What rustls has to say about it, an alert, is waiting to be sent.
                drop(stream.conn.write_tls(&mut stream.sock));
                return Err(error);
            }
        }
    }
    stream.conn.send_close_notify();
    stream.flush()
}

/// Sends standard input line by line, and prints what comes back.
fn client(addr: &str, ca: &Path) -> io::Result<()> {
    let explain = |error: &dyn std::fmt::Display| {
        io::Error::new(
            ErrorKind::InvalidInput,
            format!("{}: {error}", ca.display()),
        )
    };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(ca).map_err(|error| explain(&error))? {
        let cert = cert.map_err(|error| explain(&error))?;
        roots.add(cert).map_err(|error| explain(&error))?;
    }
    let host = addr
        .rsplit_once(':')
        .map_or(addr, |(host, _)| host)
        .trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| explain(&error))?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let conn = Dialer::new().timeout(PATIENCE).dial("tcp", addr)?;
    conn.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(tls, conn);
    let mut buffer = [0; 4096];
    loop {
        // Standard input blocks its thread; others could go on meanwhile.
        let n = corio::blocking(|| io::stdin().read(&mut buffer))?;
        if n == 0 {
            break;
        }
        stream.write_all(&buffer[..n])?;
        let mut back = vec![0; n];
        stream.read_exact(&mut back)?;
        io::stdout().write_all(&back)?;
    }
    stream.conn.send_close_notify();
    stream.flush()?;
    // The server says goodbye as well.
    match stream.read(&mut buffer)? {
        0 => Ok(()),
        n => Err(io::Error::other(format!(
            "{n} bytes that were not asked for"
        ))),
    }
}
