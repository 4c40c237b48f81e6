//! bookshelf, `/users/admin` and `/admin/users`: users, for administrators.
//!
//! The arguments of these handlers stand in the order of the checks: token, then input, then right.

use salvo::Writer;
use salvo::oapi::endpoint;

use super::TAG_ADMIN;
use super::auth::Register;
use super::users::{UserOut, UserPath, UserUpdate, deleted, role};
use crate::api::common::UserChange;
use crate::app::App;
use crate::domain::auth::{Caller, WriteAs};
use crate::domain::users::{self, Patch, Role};
use crate::http::answer::{Created, Done, Failure, Message};
use crate::http::extract::{Address, Administrator};
use crate::http::input::{Fields, Input, Json, Path, Query, Valid};
use crate::http::rules::{Flag, Rule};

/// What an administrator makes a user of.
#[derive(Debug)]
struct AdminUserCreate {
    register: Register,
    role: Role,
    is_active: bool,
}

impl Input for AdminUserCreate {
    const ABOUT: &'static str = "A user whom an administrator adds.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let register = Register::read(fields);
        let role = fields.or("role", role().about("What the user may do."), Role::User);
        let is_active = fields.or("is_active", Flag.about("Whether the user may sign in."), true);
        Some(Self { register: register?, role: role?, is_active: is_active? })
    }
}

/// What an administrator may change of a user.
#[derive(Debug)]
struct AdminUserUpdate(UserChange);

impl Input for AdminUserUpdate {
    const ABOUT: &'static str =
        "What an administrator changes of a user. Fields that are left out stay as they are.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let change = UserChange::read(fields, |fields| {
            let profile = UserUpdate::read_profile(fields);
            let role = fields.optional("role", role().about("Another role ends all sessions of the user."));
            Some(Patch { role: role?, ..profile? })
        });
        change.map(Self)
    }
}

/// A role, in the query.
#[derive(Debug)]
struct RoleQuery {
    new_role: Role,
}

impl Input for RoleQuery {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let new_role = fields.required("new_role", role().about("The role that the user has from now on."));
        Some(Self { new_role: new_role? })
    }
}

/// A state, in the query.
#[derive(Debug)]
struct ActiveQuery {
    is_active: bool,
}

impl Input for ActiveQuery {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let is_active = fields.required("is_active", Flag.about("Whether the user may sign in from now on."));
        Some(Self { is_active: is_active? })
    }
}

/// Add a user of any role
///
/// Like registering, but an administrator chooses the role and the state.
#[endpoint(tags(TAG_ADMIN))]
pub async fn admin_create_user(
    app: App,
    _caller: Caller,
    address: Address,
    input: Valid<Json<AdminUserCreate>>,
    admin: Administrator,
) -> Result<Created<UserOut>, Failure> {
    let Json(given) = input.0;
    let new = given.register.new_user(&app);
    let standing = (given.role, given.is_active);
    let user =
        app.auth.create_user(&app.db, admin.0, new, standing, given.register.password, address.0).await?;
    Ok(Created(UserOut::whole(user)))
}

/// Change any user
///
/// Changes the profile and the role of any user.
#[endpoint(tags(TAG_ADMIN))]
pub async fn admin_update_user(
    app: App,
    caller: Caller,
    from: Address,
    input: Valid<(Path<UserPath>, Json<AdminUserUpdate>)>,
    admin: Administrator,
) -> Result<Done<UserOut>, Failure> {
    let (Path(path), Json(AdminUserUpdate(update))) = input.0;
    update.admit(&app, &caller, from, |db| users::by_uuid(db, path.uuid)).await?;
    patch(&app, admin, path, update.patch).await
}

/// Delete any user
///
/// The last administrator cannot be deleted. The books stay, without an owner.
#[endpoint(tags(TAG_ADMIN))]
pub async fn admin_delete_user(
    app: App,
    _caller: Caller,
    input: Valid<Path<UserPath>>,
    admin: Administrator,
) -> Result<Done<Message>, Failure> {
    let Path(path) = input.0;
    let delete =
        move |db: &WriteAs| users::delete_as_admin(db, &db.admin()?, &users::by_uuid(db, path.uuid)?);
    app.take_away_as(admin.0, delete).await?;
    Ok(Done(deleted(path.uuid)))
}

/// Change a user's role
///
/// Ends all sessions of the user. The last administrator keeps the role.
#[endpoint(tags(TAG_ADMIN))]
pub async fn admin_set_role(
    app: App,
    _caller: Caller,
    input: Valid<(Path<UserPath>, Query<RoleQuery>)>,
    admin: Administrator,
) -> Result<Done<UserOut>, Failure> {
    let (Path(path), Query(query)) = input.0;
    patch(&app, admin, path, Patch { role: Some(query.new_role), ..Patch::default() }).await
}

/// Activate or deactivate a user
///
/// A user who is not active cannot sign in; deactivating ends all their sessions.
#[endpoint(tags(TAG_ADMIN))]
pub async fn admin_set_active(
    app: App,
    _caller: Caller,
    input: Valid<(Path<UserPath>, Query<ActiveQuery>)>,
    admin: Administrator,
) -> Result<Done<UserOut>, Failure> {
    let (Path(path), Query(query)) = input.0;
    patch(&app, admin, path, Patch { is_active: Some(query.is_active), ..Patch::default() }).await
}

async fn patch(
    app: &App,
    Administrator(caller): Administrator,
    path: UserPath,
    patch: Patch,
) -> Result<Done<UserOut>, Failure> {
    let room = patch.room();
    let change =
        move |db: &WriteAs| users::update_as_admin(db, &db.admin()?, &users::by_uuid(db, path.uuid)?, &patch);
    let user = app.auth.write_as(&app.db, caller, room, change).await?;
    Ok(Done(UserOut::whole(user)))
}
