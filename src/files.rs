//! Files: closing them to everybody but their owner.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fchmod, fstat, open};
use rustix::io::Errno;
use rustix::process::geteuid;

/// What others may do with a file, in its mode.
const OTHERS: u32 = 0o077;

/// Takes from everybody but the owner what they may do with a file or directory. A link is followed when there is nothing
/// to take, and never to change a mode.
///
/// # Errors
/// The system's; `PermissionDenied` when it belongs to another user than this process's; another one when it is a link.
pub fn tighten(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.mode() & OTHERS == 0 {
        return Ok(());
    }
    // Whatever is put there instead, a named pipe for one, is not waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Err(Errno::LOOP) => return Err(io::Error::other("it is a link to what others may read")),
        file => file?,
    };
    let found = fstat(&file)?;
    if found.st_uid != geteuid().as_raw() {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Ok(fchmod(&file, Mode::from_raw_mode(found.st_mode & !OTHERS & 0o7777))?)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_and_a_directory_are_closed_to_others_and_keep_the_rest_of_their_mode() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for (path, before, after) in
            [(&*file, 0o644, 0o600), (&file, 0o400, 0o400), (&file, 0o777, 0o700), (dir.path(), 0o755, 0o700)]
        {
            fs::set_permissions(path, Permissions::from_mode(before)).unwrap();
            tighten(path).unwrap();
            assert_eq!(mode(path), after, "{before:o}");
        }
    }

    #[test]
    fn a_mode_is_not_changed_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(tighten(&link).unwrap_err().to_string(), "it is a link to what others may read");
        assert_eq!(mode(&file), 0o644);
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        tighten(&link).unwrap();
    }

    #[test]
    fn the_mode_of_another_users_file_is_left_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        if chown(&file, Some(65_534), None).is_err() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        assert_eq!(tighten(&file).unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(mode(&file), 0o644);
    }
}
