//! The `pushmesh` binary: arguments, then a command.

use std::io::Write;
use std::process::ExitCode;

use pushmesh::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::read();
    let runtime = match cli.runtime().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // Should nobody read it, the exit code says it.
            let _ = writeln!(std::io::stderr(), "pushmesh: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(cli));
    // A read of stdin that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    code
}
