//! What is said when there is no database, or not the right one.

use tokio::net::{TcpListener, TcpStream};

use vestibule::directory::DirectoryError;

use super::*;

#[tokio::test]
async fn what_is_no_directory_is_said_clearly_and_without_its_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/folder/d.db");
    for (url, expected) in [
        (
            format!("postgres://me:hunter2@127.0.0.1:{port}/people"),
            format!("127.0.0.1:{port}"),
        ),
        (
            String::from("mysql://me:hunter2@host/people"),
            String::from("\"mysql\" is neither"),
        ),
        (
            String::from("postgres://me:hunter2@host:port/people"),
            String::from("not a PostgreSQL"),
        ),
        (String::from("sqlite:"), String::from("without a path")),
        (
            String::from("sqlite::memory:"),
            String::from("a file is needed"),
        ),
        (
            format!("sqlite:{}", missing.display()),
            missing.display().to_string(),
        ),
    ] {
        let told = Directory::open(&url, &master())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            told.contains(&expected) && !told.contains("hunter2"),
            "{told}"
        );
    }
}

/// Between a directory and its database, to be pulled out.
struct Cable {
    port: u16,
    upstream: u16,
    carrying: tokio::task::JoinHandle<()>,
}

impl Cable {
    async fn plug(port: u16, upstream: u16) -> Cable {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let carrying = tokio::spawn(async move {
            // Dropped with the task, and all connections with it.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                });
            }
        });
        Cable {
            port,
            upstream,
            carrying,
        }
    }

    async fn pull(self) -> (u16, u16) {
        self.carrying.abort();
        drop(self.carrying.await);
        (self.port, self.upstream)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_is_said_and_its_return_is_noticed() {
    let url = url::Url::parse(&postgres::database().await).unwrap();
    let cable = Cable::plug(0, url.port().unwrap()).await;
    let mut through = url.clone();
    through.set_port(Some(cable.port)).unwrap();
    let directory = seeded(through.as_str()).await;

    let (port, upstream) = cable.pull().await;
    let away = directory.person(&person("kim")).await;
    assert!(
        matches!(away, Err(DirectoryError::Unavailable(_))),
        "{away:?}"
    );
    assert!(matches!(
        directory.ping().await,
        Err(DirectoryError::Unavailable(_))
    ));

    let _cable = Cable::plug(port, upstream).await;
    assert!(directory.person(&person("kim")).await.unwrap().is_some());
    directory.ping().await.unwrap();
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.db");
    let _directory = seeded(&format!("sqlite:{}", path.display())).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}
