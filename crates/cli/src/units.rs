//! Numbers with units as people read them: times, sizes, counts.

/// `83` → `1:23`, `4000` → `1:06:40`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

/// Bytes in the largest unit that leaves at least one.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.0} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

/// `1234567` → `1.2M`.
pub fn count(n: usize) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.0}k", n as f64 / 1e3),
        _ => format!("{:.1}M", n as f64 / 1e6),
    }
}

/// So many of a noun, in the right number: `1 class`, `2 classes`.
pub fn counted(count: usize, noun: &str) -> String {
    let ending = match noun {
        _ if count == 1 => "",
        noun if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", number(count))
}

/// 12345 → 12,345
pub fn number(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_in_its_largest_unit() {
        assert_eq!([duration(83.4), duration(4000.0), duration(-1.0)], ["1:23", "1:06:40", "0:00"]);
        assert_eq!([bytes(999), bytes(17_400_000), bytes(2_500_000_000)], ["999 B", "17 MB", "2.5 GB"]);
        assert_eq!([count(999), count(45_600), count(1_234_567)], ["999", "46k", "1.2M"]);
    }
}
