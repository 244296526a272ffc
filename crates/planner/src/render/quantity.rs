//! Kubernetes quantities.

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no amount of memory: write a number of bytes, or one with K, M, G, Ki, Mi or Gi such as 512Mi")]
pub struct InvalidQuantity(pub String);

/// Bytes of a memory quantity (`512Mi`, `1.5G`, `1e9`, `128974848`), rounded up.
pub fn bytes_of(text: &str) -> Result<u64, InvalidQuantity> {
    let bad = || InvalidQuantity(text.to_owned());
    const UNITS: &[(&str, f64)] = &[
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("K", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let trimmed = text.trim();
    let (number, unit) = UNITS.iter().find_map(|(name, size)| Some((trimmed.strip_suffix(name)?, *size))).unwrap_or((trimmed, 1.0));
    if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(bad());
    }
    let bytes = number.parse::<f64>().map_err(|_| bad())? * unit;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: positive, and a float saturates")]
    if bytes.is_finite() && bytes > 0.0 { Ok(bytes.ceil() as u64) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::bytes_of;

    #[test]
    fn quantities() {
        for (text, bytes) in [
            ("512Mi", 512 << 20),
            ("1G", 1_000_000_000),
            ("1.5Gi", 3 << 29),
            ("1e9", 1_000_000_000),
            ("128974848", 128_974_848),
            ("1500m", 2),
        ] {
            assert_eq!(bytes_of(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "Mi", "-1Gi", "1Gb", "inf", "lots", "0"] {
            assert!(bytes_of(bad).is_err(), "{bad}");
        }
    }
}
