//! Command line of Microtome. Results go to stdout, everything else to stderr.

mod args;
mod commands;
mod config;
mod print;
mod progress;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match config::expand(std::env::args_os().collect()) {
        Ok(words) => args::Cli::parse_from(words),
        Err(e) => {
            print::error(&e);
            return ExitCode::from(e.exit_code());
        }
    };
    if let Some(n) = cli.global.threads {
        // Fails only when a pool exists already, and none does yet.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(usize::from(n)).build_global();
    }
    progress::listen_for_ctrl_c();
    let progress = progress::Terminal::new(cli.global.quiet);
    match commands::run(cli.command, &progress) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            microtome_core::Progress::end(&progress);
            print::error(&e);
            ExitCode::from(e.exit_code())
        }
    }
}
