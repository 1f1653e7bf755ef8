//! The `gateway` binary: installs allocator and cryptography, then runs the command line.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let arguments = std::env::args_os().skip(1).map(text).collect();
    let env = std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    gateway::cli::main(arguments, env)
}
