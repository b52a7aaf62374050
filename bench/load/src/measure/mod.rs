//! What a load costs: CPU of the server, of the machine and of the tool, and memory.
//!
//! The rule: CPU is what the kernel has charged to the server's tasks, kernel threads of its own included; the whole
//! machine stands beside it, because interrupts may be charged to whoever was running.

pub(crate) mod cgroup;
pub(crate) mod machine;
pub(crate) mod server;
pub(crate) mod tool;
