use corio::signal::{SIGINT, SIGTERM};
use corio_net::listen;
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    corio::run(|| {
        let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
        let server = starter::server()
            .shutdown_on(&[SIGINT, SIGTERM], Duration::from_secs(10))
            .start([listen("tcp", &addr)?])?;
        println!("listening on {}", server.addrs()[0]);
        println!("{}", server.wait());
        Ok(())
    })
}
