//! The rules of resume tokens, one sentence each.

use super::*;

fn key() -> ResumeKey {
    ResumeKey::new(&[7; 32])
}

fn session(user: &str, device: &str) -> SessionKey {
    SessionKey::new(UserId::new(user).unwrap(), DeviceId::new(device).unwrap())
}

fn verify(user: &str, token: &str) -> Result<Resumed, ResumeError> {
    key().verify(&UserId::new(user).unwrap(), token)
}

/// A token whose tag is good, of any stamp and any bytes as device.
fn handmade(user: &str, device: &[u8], stamp: u64) -> String {
    let stamp = stamp.to_be_bytes();
    let tag = key().tag(VERSION, &UserId::new(user).unwrap(), device, &stamp);
    URL_SAFE_NO_PAD.encode([&[VERSION][..], &stamp, device, &tag].concat())
}

#[test]
fn a_token_says_what_was_signed() {
    for device in ["d", "büro", &"d".repeat(limits::DEVICE_BYTES_MAX)] {
        for stamp in [0, 1, 117_637_120_000_000_000, STAMP_MAX] {
            let stamp = Stamp::from_raw(stamp);
            for writer in [None, Some(Writer::from_raw(0)), Some(Writer::from_raw(u32::MAX))] {
                let token = key().sign(&session("42", device), stamp, writer);
                let said = Resumed { device: DeviceId::new(device).unwrap(), stamp, writer };
                assert_eq!(verify("42", &token), Ok(said), "{device} {stamp:?}");
            }
        }
    }
}

#[test]
fn a_token_has_the_bytes_that_the_protocol_names() {
    let token = key().sign(&session("42", "phone"), Stamp::from_raw(0x0102_0304_0506_0708), None);
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    assert_eq!(bytes[..14], *b"\x01\x01\x02\x03\x04\x05\x06\x07\x08phone");
    let signed = b"\x0142\0phone\0\x01\x02\x03\x04\x05\x06\x07\x08";
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), signed);
    assert_eq!(bytes[14..], tag.as_ref()[..16]);
    assert_eq!(token, "AQECAwQFBgcIcGhvbmWy3xGGiHvtBE_XvZjRDrvH");
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
}

#[test]
fn a_token_fits_its_own_user_and_its_own_cluster_only() {
    let token = key().sign(&session("42", "phone"), Stamp::from_raw(1), None);
    assert_eq!(verify("43", &token), Err(ResumeError::Tag));
    let elsewhere = ResumeKey::new(&[8; 32]).verify(&UserId::new("42").unwrap(), &token);
    assert_eq!(elsewhere, Err(ResumeError::Tag));
}

#[test]
fn a_token_that_was_changed_anywhere_is_refused() {
    let token = key().sign(&session("42", "phone"), Stamp::from_raw(1), None);
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let expected = match at {
                0 => ResumeError::Version { found: changed[0] },
                _ => ResumeError::Tag,
            };
            assert_eq!(verify("42", &URL_SAFE_NO_PAD.encode(changed)), Err(expected), "byte {at} bit {bit}");
        }
    }
    for length in 0..bytes.len() {
        assert!(verify("42", &URL_SAFE_NO_PAD.encode(&bytes[..length])).is_err(), "the first {length} bytes");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let long = "A".repeat(TOKEN_BYTES_MAX + 1);
    let token = key().sign(&session("42", "phone"), Stamp::from_raw(1), None);
    let padded = format!("{token}=");
    let spaced = format!(" {token}");
    for text in ["", "A", "nonsense!", "AQ", "ü", &long, &padded, &spaced] {
        assert_eq!(verify("42", text), Err(ResumeError::Malformed), "{text}");
    }
}

#[test]
fn a_device_that_is_none_is_refused_although_the_tag_is_good() {
    let long = [b'd'; limits::DEVICE_BYTES_MAX + 1];
    for device in [&b""[..], b"\xff", b"a\0b", &long] {
        assert_eq!(verify("42", &handmade("42", device, 1)), Err(ResumeError::Malformed), "{device:?}");
    }
}

#[test]
fn a_stamp_that_leaves_no_room_above_it_is_refused_although_the_tag_is_good() {
    let greatest = verify("42", &handmade("42", b"d", STAMP_MAX)).unwrap().stamp;
    assert!(Stamp::next(0, Some(greatest)) > greatest);
    for stamp in [STAMP_MAX + 1, u64::MAX] {
        assert_eq!(verify("42", &handmade("42", b"d", stamp)), Err(ResumeError::Stamp), "{stamp}");
    }
}

#[test]
fn each_error_says_how_to_connect_all_the_same() {
    let errors =
        [ResumeError::Malformed, ResumeError::Version { found: 9 }, ResumeError::Tag, ResumeError::Stamp];
    for error in errors {
        assert!(error.to_string().contains("leave ?resume= out"), "{error}");
    }
}
