use corio::testing::assert_no_leaks;
use corio_net::{dial, listen};
use std::io::{self, BufRead, BufReader, Write};
use std::time::Duration;

#[test]
fn what_is_said_comes_back_in_capitals() -> io::Result<()> {
    // Fails if a goroutine is left behind that was started in here.
    assert_no_leaks(|| {
        let server = starter::server().start([listen("tcp", "127.0.0.1:0")?])?;
        let mut client = dial("tcp", &server.addrs()[0].to_string())?;
        let mut answers = BufReader::new(client.try_clone()?);
        for line in ["hello\n", "goodbye\n"] {
            client.write_all(line.as_bytes())?;
            let mut answer = String::new();
            answers.read_line(&mut answer)?;
            assert_eq!(answer, line.to_uppercase());
        }
        let report = server.shutdown(Duration::from_secs(10));
        assert_eq!(report.forced, 0, "{report}");
        Ok(())
    })
}
