fn main() {
    println!("cargo:rerun-if-changed=../conversation.capnp");
    capnpc::CompilerCommand::new().src_prefix("..").file("../conversation.capnp").run().expect("capnp compile");
}
