//! A real OpenLDAP server of one test alone: own folder, own port, own certificate, gone with it.

#![allow(dead_code)] // every test program uses another part of this

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

pub const BASE: &str = "dc=clinic,dc=example";
pub const READER: &str = "cn=reader,dc=clinic,dc=example";
pub const READER_PASSWORD: &str = "reads-names-only";

/// A running server.
pub struct Slapd {
    pub plain: u16,
    pub tls: u16,
    folder: TempDir,
    child: Child,
}

impl Slapd {
    /// With these people: name and password.
    ///
    /// # Panics
    /// When there is no slapd on this machine, or it does not start.
    pub fn start(people: &[(&str, &str)]) -> Slapd {
        Slapd::start_with(people, &[])
    }

    /// The passwords of the second kind of people have expired, by the directory's own policy.
    pub fn start_with(people: &[(&str, &str)], expired: &[(&str, &str)]) -> Slapd {
        // A port is free when it is chosen, and may be taken before the server has it.
        (0..5)
            .find_map(|_| Slapd::start_on((free_port(), free_port()), people, expired))
            .expect("slapd starts on free ports (Debian: apt-get install slapd)")
    }

    /// The authority that signed its certificate, which is for `localhost`.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn start_on(
        (plain, tls): (u16, u16),
        people: &[(&str, &str)],
        expired: &[(&str, &str)],
    ) -> Option<Slapd> {
        let folder = tempfile::tempdir().unwrap();
        write_certificates(folder.path());
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let config = folder.path().join("slapd.conf");
        std::fs::write(&config, configuration(folder.path())).unwrap();
        let entries = folder.path().join("people.ldif");
        std::fs::write(&entries, ldif(people, expired)).unwrap();
        let loaded = Command::new("/usr/sbin/slapadd")
            .arg("-f")
            .arg(&config)
            .arg("-l")
            .arg(&entries)
            .output()
            .expect("slapadd (Debian: apt-get install slapd)");
        assert!(
            loaded.status.success(),
            "{}",
            String::from_utf8_lossy(&loaded.stderr)
        );
        let child = Command::new("/usr/sbin/slapd")
            .arg("-f")
            .arg(&config)
            .arg("-h")
            .arg(format!(
                "ldap://127.0.0.1:{plain}/ ldaps://127.0.0.1:{tls}/"
            ))
            // In the foreground, and silent.
            .args(["-d", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("slapd");
        let mut server = Slapd {
            plain,
            tls,
            folder,
            child,
        };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(_)) = server.child.try_wait() {
                return None;
            }
            // Its own, whoever else may answer: it is written when the ports are taken.
            let written = server.folder.path().join("slapd.pid").exists();
            if written && answers(plain) && answers(tls) {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "include /etc/ldap/schema/core.schema\n\
         include /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/inetorgperson.schema\n\
         modulepath /usr/lib/ldap\n\
         moduleload back_mdb\n\
         moduleload ppolicy\n\
         pidfile {folder}/slapd.pid\n\
         TLSCACertificateFile {folder}/ca.pem\n\
         TLSCertificateFile {folder}/server.pem\n\
         TLSCertificateKeyFile {folder}/server.key\n\
         database mdb\n\
         maxsize 10485760\n\
         suffix \"{BASE}\"\n\
         rootdn \"cn=admin,{BASE}\"\n\
         directory {folder}/data\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by dn.exact=\"{READER}\" read by * none\n\
         overlay ppolicy\n"
    )
}

fn ldif(people: &[(&str, &str)], expired: &[(&str, &str)]) -> String {
    let mut text = format!(
        "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Clinic\ndc: clinic\n\n\
         dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: {READER}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\n\
         cn: reader\nuserPassword: {READER_PASSWORD}\n\n\
         dn: cn=ninety-days,{BASE}\nobjectClass: applicationProcess\nobjectClass: pwdPolicy\n\
         cn: ninety-days\npwdAttribute: userPassword\npwdMaxAge: 7776000\n\n"
    );
    let good = people.iter().map(|person| (person, ""));
    // Set years ago.
    let old =
        format!("pwdPolicySubentry: cn=ninety-days,{BASE}\npwdChangedTime: 20200101000000Z\n");
    let bad = expired.iter().map(|person| (person, old.as_str()));
    for ((name, password), more) in good.chain(bad) {
        text += &format!(
            "dn: uid={name},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\n\
             sn: Doe\nmail: {name}@clinic.example\nuserPassword: {password}\n{more}\n"
        );
    }
    text
}

fn write_certificates(folder: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Clinic authority");
    let authority = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::from_params(&params, &key);
    let server_key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec![String::from("localhost")])
        .unwrap()
        .signed_by(&server_key, &issuer)
        .unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), server.pem()).unwrap();
    std::fs::write(folder.join("server.key"), server_key.serialize_pem()).unwrap();
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
