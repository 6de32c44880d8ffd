//! `${name}` in a value.
//!
//! Source: `sun.security.util.PropertyExpander`.

/// A property that is not set. It is not named: a password may just look like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a system property between ${{ and }} is not set")]
pub struct ExpandError;

/// Puts system properties in the places of their names. `${/}` is a slash, `${{..}}` stays as it
/// is, and so does what is not closed.
///
/// # Errors
/// One of them is not set.
pub fn expand(
    value: &str,
    property: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ExpandError> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, inner)) = rest.split_once("${") {
        out.push_str(before);
        let whole = &rest[before.len()..];
        if inner.starts_with('{') {
            // Java takes the first }} for the end only if something follows it.
            match inner.split_once("}}") {
                Some((kept, behind)) if !behind.is_empty() => {
                    out.push_str("${");
                    out.push_str(kept);
                    out.push_str("}}");
                    rest = behind;
                    continue;
                }
                _ => {
                    out.push_str(whole);
                    return Ok(out);
                }
            }
        }
        let Some((name, behind)) = inner.split_once('}') else {
            out.push_str(whole);
            return Ok(out);
        };
        match name {
            "/" => out.push('/'),
            name => out.push_str(&property(name).ok_or(ExpandError)?),
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}
