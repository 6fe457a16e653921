//! The `pushmesh` binary: arguments, then a command.

use std::io::Write;
use std::process::ExitCode;

use pushmesh::cli::{self, Cli};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::read();
    let mut runtime = Builder::new_multi_thread();
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < WORKERS_MIN) {
        runtime.worker_threads(WORKERS_MIN);
    }
    let runtime = match runtime.enable_all().build() {
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

/// One that hangs must not keep the others from answering, also on a machine with one core.
const WORKERS_MIN: usize = 2;
