fn main() -> std::process::ExitCode {
    compat_tests::suite::main("pressure", &[])
}
