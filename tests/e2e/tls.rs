//! A certificate authority that nobody knows, and a TLS server that it vouches for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_rustls::pki_types::pem::PemObject as _;
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::crypto::ring;

use crate::launch::Folder;
use crate::tools;

/// An authority in a folder of its own, with one certificate for 127.0.0.1.
pub(crate) struct Authority(Folder);

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self(Folder::new());
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ];
        authority.openssl(
            &[
                &[
                    "req",
                    "-x509",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=Test authority",
                    "-keyout",
                    "ca.key",
                    "-out",
                    "ca.pem",
                ],
                key.as_slice(),
            ]
            .concat(),
        );
        authority.openssl(
            &[
                &[
                    "req",
                    "-subj",
                    "/CN=127.0.0.1",
                    "-keyout",
                    "server.key",
                    "-out",
                    "server.csr",
                ],
                key.as_slice(),
            ]
            .concat(),
        );
        std::fs::write(
            authority.0.path().join("server.ext"),
            "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
        )
        .unwrap();
        authority.openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            "server.ext",
            "-out",
            "server.pem",
        ]);
        authority
    }

    /// The authority's certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// What a TLS server needs to be the one that the authority vouches for.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(self.0.path().join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.0.path().join("server.key")).unwrap();
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        Arc::new(
            versions
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .unwrap(),
        )
    }

    #[track_caller]
    fn openssl(&self, arguments: &[&str]) {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| {
                if is_file(argument) {
                    self.file(argument)
                } else {
                    (*argument).to_owned()
                }
            })
            .collect();
        let ran = tools::run(
            "openssl",
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        assert!(
            ran.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Whether an argument names one of the authority's files.
fn is_file(argument: &str) -> bool {
    !argument.starts_with(['/', '-'])
        && Path::new(argument).extension().is_some_and(|end| {
            ["pem", "key", "csr", "ext"]
                .iter()
                .any(|known| end == *known)
        })
}
