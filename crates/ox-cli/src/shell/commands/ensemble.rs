//! Commands about the members of the ensemble.
//!
//! Source: `GetConfigCommand`, `ReconfigCommand`, `ConfigUtils`.

use std::fs;

use ox_client::NodeData;
use ox_proto::{ReconfigRequest, path};

use super::{Failure, Outcome, Parsed, Shell};

pub(super) async fn config(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let client = shell.client().await?;
    let node = client
        .config(parsed.has("w"))
        .await
        .map_err(Failure::about(path::CONFIG))?;
    if parsed.has("w") {
        shell.watches.data.insert(path::CONFIG.to_owned());
    }
    let text = text(&node);
    shell.console.out(&match parsed.has("c") {
        true => client_string(&text),
        false => text,
    });
    if parsed.has("s") {
        shell.print_stat(&node.stat);
    }
    Ok(())
}

fn text(node: &NodeData) -> String {
    String::from_utf8_lossy(node.data.as_deref().unwrap_or_default()).into_owned()
}

/// The version, a space, and where clients may connect.
fn client_string(config: &str) -> String {
    let version = config
        .lines()
        .find_map(|line| line.strip_prefix("version="))
        .unwrap_or_default();
    let addresses: Vec<_> = config
        .lines()
        .filter(|line| line.starts_with("server."))
        .filter_map(|line| line.split_once(';'))
        .map(|(_, address)| address)
        .collect();
    format!("{version} {}", addresses.join(","))
}

pub(super) async fn reconfig(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let request = reconfig_request(parsed)?;
    let client = shell.client().await?;
    let node = client
        .reconfig(&request)
        .await
        .map_err(|error| Failure::Request { error, path: None })?;
    shell
        .console
        .out(&format!("Committed new configuration:\n{}", text(&node)));
    if parsed.has("s") {
        shell.print_stat(&node.stat);
    }
    Ok(())
}

/// All members anew, or some that join and some that leave.
fn reconfig_request(parsed: &Parsed) -> Result<ReconfigRequest, Failure> {
    let refuse = |text: &str| Err(Failure::Text(text.to_owned()));
    let version = parsed
        .value("v")
        // The version is written in hexadecimal, as the configuration shows it.
        .map(|text| i64::from_str_radix(text, 16))
        .transpose();
    let Ok(version) = version else {
        return refuse("-v must be followed by a long (configuration version)");
    };
    let lower = |option| parsed.value(option).map(str::to_lowercase);
    let (joining, leaving) = (lower("add"), lower("remove"));
    let whole = parsed.has("file") || parsed.has("members");
    if whole && (joining.is_some() || leaving.is_some()) {
        return refuse(
            "Can't use -file or -members together with -add or -remove (mixing incremental and \
             non-incremental modes is not allowed)",
        );
    }
    let new_members = match (parsed.value("file"), lower("members")) {
        (Some(_), Some(_)) => {
            return refuse(
                "Can't use -file and -members together (conflicting non-incremental modes)",
            );
        }
        (Some(file), None) => Some(members_of_file(file)?),
        (None, members) => members,
    };
    if !whole && joining.is_none() && leaving.is_none() {
        return Err(Failure::Usage);
    }
    Ok(ReconfigRequest {
        joining_servers: joining,
        leaving_servers: leaving,
        new_members,
        current_config_id: version.unwrap_or(-1),
    })
}

/// The members that a dynamic configuration file lists.
fn members_of_file(file: &str) -> Result<String, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Text(format!("Error processing {file}: {error}")))?;
    let mut members = Vec::new();
    for line in text.lines().map(str::trim) {
        let key = line.split('=').next().unwrap_or_default().trim();
        match key {
            "" | "version" => {}
            comment if comment.starts_with(['#', '!']) => {}
            _ if ["server.", "group.", "weight."]
                .iter()
                .any(|kind| key.starts_with(kind)) =>
            {
                members.push(line.to_lowercase());
            }
            _ => {
                return Err(Failure::Text(format!(
                    "Error processing {file}: Unrecognised parameter: {key}"
                )));
            }
        }
    }
    Ok(members.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::options::{Options, parse, value};

    const OPTIONS: Options = Options::of(&[
        value("v"),
        value("file"),
        value("members"),
        value("add"),
        value("remove"),
    ]);

    #[track_caller]
    fn request(line: &str) -> Result<ReconfigRequest, String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = parse(&OPTIONS, &words).unwrap();
        reconfig_request(&parsed).map_err(|failure| match failure {
            Failure::Usage => "usage".to_owned(),
            other => other.to_string(),
        })
    }

    #[test]
    fn members_are_given_anew_or_as_a_difference() {
        let difference = request("-add server.5=A:1:2 -remove 3 -v 1000").unwrap();
        assert_eq!(
            difference.joining_servers.as_deref(),
            Some("server.5=a:1:2")
        );
        assert_eq!(difference.leaving_servers.as_deref(), Some("3"));
        assert_eq!(difference.current_config_id, 0x1000);
        let anew = request("-members server.1=a:1:2").unwrap();
        assert_eq!(anew.new_members.as_deref(), Some("server.1=a:1:2"));
        assert_eq!(anew.current_config_id, -1);
    }

    #[test]
    fn mixtures_are_refused() {
        assert_eq!(request(""), Err("usage".into()));
        assert!(request("-add x -members y").is_err());
        assert!(request("-file x -members y").is_err());
        assert!(request("-v z -add y").is_err());
    }

    #[test]
    fn a_dynamic_file_lists_members_and_may_tell_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dynamic");
        let path = file.to_str().unwrap();
        fs::write(
            &file,
            "# two\nserver.1=A:1:2;3\n\nserver.2=b:1:2;3\nversion=5\n",
        )
        .unwrap();
        assert_eq!(
            members_of_file(path).unwrap(),
            "server.1=a:1:2;3\nserver.2=b:1:2;3"
        );
        fs::write(&file, "tickTime=5\n").unwrap();
        assert!(members_of_file(path).is_err());
    }

    #[test]
    fn the_client_string_is_version_and_addresses() {
        let config = "server.1=a:1:2:participant;0.0.0.0:2181\nserver.2=b:1:2\nversion=f";
        assert_eq!(client_string(config), "f 0.0.0.0:2181");
        assert_eq!(client_string(""), " ");
    }
}
