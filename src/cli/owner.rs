//! Owner: a command that writes is for the user whom the data directory belongs to. What root made in there, the server of
//! another user could not read.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

use crate::error::{Error, Result};

/// What the names of the variables begin with that settings are read from.
const VARIABLES: &str = "SATCHEL_";

/// Refuses unless this process's user owns the data directory, or will by making it.
///
/// # Errors
/// A fault whose sentence has the line that would do what was asked for.
pub fn require(data: &Path) -> Result<()> {
    let owner = match fs::metadata(data) {
        Ok(found) => found.uid(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // Whoever cannot even look at it is told why by what needs it.
        Err(_) => return Ok(()),
    };
    let user = geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let (owner, user) = (name(&users, owner), name(&users, user));
    let arguments = env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let variables = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let line = line(&owner, arguments, variables);
    Err(Error::fault(format!(
        "the data directory {} belongs to {owner}, and this is {user}: nothing was done; run `{line}`",
        data.display()
    )))
}

/// A user's name by the lines of `/etc/passwd`; otherwise the number as sudo takes it.
fn name(users: &str, id: u32) -> String {
    let is_theirs = |line: &&str| line.split(':').nth(2) == Some(&id.to_string());
    let name = users.lines().find(is_theirs).and_then(|line| line.split(':').next());
    name.map_or_else(|| format!("#{id}"), String::from)
}

/// The command as the owner would give it, with the settings of this environment.
fn line(
    owner: &str,
    arguments: impl Iterator<Item = String>,
    variables: impl Iterator<Item = String>,
) -> String {
    let mut words = vec![String::from("sudo"), String::from("-u"), quoted(owner)];
    let mut kept: Vec<String> = variables.filter(|name| name.starts_with(VARIABLES)).collect();
    if !kept.is_empty() {
        kept.sort();
        words.push(format!("--preserve-env={}", kept.join(",")));
    }
    words.extend(arguments.map(|argument| quoted(&argument)));
    words.join(" ")
}

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:@,+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return String::from(word);
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_command_as_it_was_given_by_the_owner_and_quoted_for_a_shell() {
        let check = |owner: &str, arguments: &[&str], variables: &[&str], expected: &str| {
            let arguments = arguments.iter().map(|text| String::from(*text));
            assert_eq!(line(owner, arguments, variables.iter().map(|text| String::from(*text))), expected);
        };
        check("satchel", &["satchel", "keys", "rotate"], &["PATH"], "sudo -u satchel satchel keys rotate");
        check(
            "#65534",
            &["./satchel", "--data", "/srv/my data", "admin", "block", "o'hara@example.org", ""],
            &["SATCHEL_MAIL__SMTP_PASSWORD", "HOME", "SATCHEL_ENVIRONMENT"],
            r"sudo -u '#65534' --preserve-env=SATCHEL_ENVIRONMENT,SATCHEL_MAIL__SMTP_PASSWORD ./satchel --data '/srv/my data' admin block 'o'\''hara@example.org' ''",
        );
    }

    #[test]
    fn a_user_is_called_by_name_where_there_is_one() {
        let users = "root:x:0:0:root:/root:/bin/sh\nsatchel:x:998:998::/var/lib/satchel:/bin/false\n";
        assert_eq!([name(users, 998), name(users, 0), name(users, 99)], ["satchel", "root", "#99"]);
    }
}
