//! `user`, `permission`, `limit`: who may do what, and how much of it.

use crate::ground::Ground;
use crate::terminal::run_with_input;
use serde_json::json;

#[test]
fn a_user_is_made_changed_and_deleted() {
    let ground = Ground::open();
    let password = ground.file("app.password", "first\n");
    let password = password.to_str().unwrap();
    let add = ["user", "add", "app", "--new-password-file", password, "--tag", "monitoring"];
    assert_eq!(ground.ask(&add).success(), "user `app`: made\n");
    let again = ground.ask(&add).failure();
    assert!(
        again.contains("user `app` exists already") && again.contains("user password"),
        "{again}"
    );
    let who = |file: &str| {
        ground.ask(&["user", "whoami", "--user", "app", "--password-file", file, "--json"])
    };
    assert_eq!(who(password).json(), json!({ "name": "app", "tags": ["monitoring"] }));
    // The password changes and the tags stay, and the other way round.
    let second = ground.file("second.password", "second");
    let second = second.to_str().unwrap();
    ground.ask(&["user", "password", "app", "--new-password-file", second]).success();
    assert_eq!(who(password).code, Some(1));
    assert_eq!(who(second).json()["tags"], json!(["monitoring"]));
    ground.ask(&["user", "tags", "app", "policymaker", "management"]).success();
    assert_eq!(who(second).json()["tags"], json!(["policymaker", "management"]));
    ground.ask(&["user", "tags", "app"]).success();
    let no_tags = who(second).failure();
    assert!(no_tags.contains("tags of the user"), "{no_tags}");
    let shown = ground.ask(&["user", "show", "app", "--json"]).json();
    assert_eq!(
        shown,
        json!({ "name": "app", "tags": [], "password": "forebay_argon2id", "limits": {} })
    );
    ground.ask(&["user", "delete", "app"]).success();
    let missing = ground.ask(&["user", "delete", "app"]).failure();
    assert_eq!(missing, "no user `app`; `forebay user list` shows what there is");
    let absent = ground.ask(&["user", "delete", "app", "--if-exists", "--json"]).json();
    assert_eq!((&absent["changed"], &absent["name"]), (&json!(false), &json!("app")));
    for command in
        [&["user", "show", "app"][..], &["user", "tags", "app", "x"], &["user", "password", "app"]]
    {
        assert_eq!(ground.ask(command).failure(), missing, "{command:?}");
    }
}

#[test]
fn a_password_comes_from_standard_input_and_a_hash_serves_as_well() {
    let ground = Ground::open();
    let admin = ["--admin", ground.admin.as_str()];
    let piped = run_with_input(
        &[&["user", "add", "piped", "--tag", "management"], &admin[..]].concat(),
        "pw\n",
    );
    piped.success();
    ground.ask_as("piped", &["user", "whoami"]).success();
    let empty = run_with_input(&[&["user", "add", "nobody"], &admin[..]].concat(), "\n").failure();
    assert!(empty.contains("the password is empty"), "{empty}");
    let hash = run_with_input(&["hash-password"], "pw").success();
    let add = ["user", "add", "hashed", "--tag", "management", "--password-hash", hash.trim()];
    ground.ask(&add).success();
    ground.ask_as("hashed", &["user", "whoami"]).success();
    let wrong = ground.ask(&["user", "add", "x", "--password-hash", "%"]).failure();
    assert!(wrong.contains("password_hash"), "{wrong}");
    ground.ask(&["user", "add", "certified", "--no-password"]).success();
    let table = ground.ask(&["user", "list"]).success();
    let lines: Vec<_> =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["NAME", "TAGS"]);
    assert!(lines.contains(&vec!["guest", "administrator"]) && lines.len() == 5, "{table}");
}

#[test]
fn who_may_not_is_told_so() {
    let ground = Ground::open();
    ground.add_user("watcher", &["monitoring"]);
    for command in [
        &["user", "list"][..],
        &["user", "delete", "guest"],
        &["permission", "set", "watcher", "--all"],
        &["vhost", "add", "shop"],
        &["policy", "set", "p", "max-length=1", "--pattern", "x"],
        &["limit", "set", "max-queues", "1", "--vhost", "/"],
        &["parameter", "set", "limits", "{}", "--component", "vhost-limits"],
    ] {
        let refused = ground.ask_as("watcher", command).failure();
        assert!(refused.contains("user; check --user and --password"), "{command:?}: {refused}");
    }
    let stranger = ground.ask_as("stranger", &["user", "list"]).failure();
    assert!(stranger.contains("Login failed"), "{stranger}");
    // Without a terminal a password that is missing can't be asked for.
    let unasked = ground.ask(&["user", "list", "--user", "watcher"]).failure();
    assert!(
        unasked.contains("no password for user `watcher`") && unasked.contains("--password-file"),
        "{unasked}"
    );
}

#[test]
fn permissions_are_set_shown_and_cleared() {
    let ground = Ground::open();
    ground.add_user("app", &[]);
    let shown = |json: &str| ground.ask(&["permission", "show", "app", json]);
    assert!(shown("--json").failure().contains("no permission of user `app` in vhost `/`"));
    ground.ask(&["permission", "set", "app", "--read", "^shop\\."]).success();
    let expected = json!({ "user": "app", "vhost": "/", "configure": "^$", "write": "^$", "read": "^shop\\." });
    assert_eq!(shown("--json").json(), expected);
    ground.ask(&["permission", "set", "app", "--all"]).success();
    let listed =
        ground.ask(&["permission", "list", "--of-user", "app", "--output", "csv"]).success();
    assert_eq!(listed, "user,vhost,configure,write,read\napp,/,.*,.*,.*\n");
    let of_vhost = ground.ask(&["permission", "list", "--vhost", "/", "--json"]).json();
    assert!(
        of_vhost.as_array().unwrap().iter().any(|permission| permission["user"] == "app"),
        "{of_vhost}"
    );
    let pattern = ground.ask(&["permission", "set", "app", "--read", "("]).failure();
    assert!(pattern.contains("'(' is no regular expression"), "{pattern}");
    assert_eq!(ground.ask(&["permission", "set", "app"]).code, Some(2), "it says what is granted");
    let nowhere =
        ground.ask(&["permission", "set", "app", "--all", "--vhost", "nowhere"]).failure();
    assert!(nowhere.contains("nowhere"), "{nowhere}");
    ground.ask(&["permission", "clear", "app"]).success();
    assert_eq!(ground.ask(&["permission", "clear", "app"]).code, Some(1));
    ground.ask(&["permission", "clear", "app", "--if-exists"]).success();
    // There are none here, and the broker says what to do instead.
    assert_eq!(ground.ask(&["permission", "topic", "list", "--json"]).json(), json!([]));
    let set =
        ["permission", "topic", "set", "app", "--exchange", "e", "--write", ".*", "--read", ".*"];
    assert!(ground.ask(&set).failure().contains("no topic permissions here"));
    assert!(
        ground
            .ask(&["permission", "topic", "clear", "app"])
            .failure()
            .contains("no topic permission")
    );
}

#[test]
fn limits_are_set_listed_and_lifted() {
    let ground = Ground::open();
    ground.add_user("app", &[]);
    ground.ask(&["limit", "set", "max-queues", "7", "--vhost", "/"]).success();
    ground.ask(&["limit", "set", "max-channels", "3", "--of-user", "app"]).success();
    let listed = ground.ask(&["limit", "list", "--output", "csv"]).success();
    assert_eq!(listed, "kind,of,limit,value\nvhost,/,max-queues,7\nuser,app,max-channels,3\n");
    let of_user = ground.ask(&["limit", "list", "--of-user", "app", "--json"]).json();
    assert_eq!(
        of_user,
        json!([{ "kind": "user", "of": "app", "limit": "max-channels", "value": 3 }])
    );
    let unknown = ground.ask(&["limit", "set", "max-fun", "3", "--vhost", "/"]).failure();
    assert!(unknown.contains("max-fun") && unknown.contains("max-connections"), "{unknown}");
    assert_eq!(ground.ask(&["limit", "set", "max-queues", "many", "--vhost", "/"]).code, Some(2));
    assert_eq!(ground.ask(&["limit", "set", "max-queues", "1"]).code, Some(2), "of what?");
    ground.ask(&["limit", "clear", "max-queues", "--vhost", "/"]).success();
    let none = ground.ask(&["limit", "clear", "max-queues", "--vhost", "/"]).failure();
    assert!(none.contains("max-queues of /"), "{none}");
    ground.ask(&["limit", "clear", "max-queues", "--vhost", "/", "--if-exists"]).success();
    let nobody = ground.ask(&["limit", "list", "--of-user", "nobody"]).failure();
    assert!(nobody.contains("nobody"), "{nobody}");
}
