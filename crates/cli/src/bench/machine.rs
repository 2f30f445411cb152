//! What the numbers were measured on.

use crate::units::{bytes, counted};
use maliang::workload;
use serde::Serialize;
use sysinfo::System;

#[derive(Serialize)]
pub struct Machine {
    processor: String,
    /// Threads that the operations use.
    threads: usize,
    /// Nothing where the system does not tell.
    memory_bytes: Option<u64>,
    /// The widest vector instructions.
    vectors: &'static str,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let system = System::new().ok().map(|mut system| {
            system.refresh_memory();
            system.refresh_cpu_all();
            system
        });
        let brand = system.as_ref().and_then(|s| s.cpus().first()).map_or("", |cpu| cpu.brand().trim());
        Self {
            processor: if brand.is_empty() { "unknown".into() } else { brand.into() },
            threads: workload::threads(),
            memory_bytes: system.as_ref().map(System::total_memory).filter(|&bytes| bytes > 0),
            vectors: vectors(),
        }
    }

    /// As the table's title says it.
    pub fn line(&self) -> String {
        let threads = counted(self.threads, "thread");
        let memory = self.memory_bytes.map_or("unknown".into(), bytes);
        format!("{}, {threads}, {}, {memory} of memory", self.processor, self.vectors)
    }
}

fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            "avx512"
        } else if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            "avx2"
        } else {
            "sse2"
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        "neon" // part of the architecture
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        "unknown"
    }
}
