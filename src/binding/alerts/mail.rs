//! Mail: WordPress' own way while it runs, PHP's when it does not.

use serde_json::json;

use super::Stage;
use crate::binding::convert::json::to_zval;
use crate::binding::wordpress::hooks;
use crate::ports::Mailer;

/// The site's mailer.
pub struct HostMailer {
    /// Whether WordPress may be asked.
    pub stage: Stage,
}

impl Mailer for HostMailer {
    fn send(&self, to: &[String], subject: &str, body: &str) -> Result<(), String> {
        let taken = match self.stage {
            Stage::Running if hooks::exists("wp_mail") => {
                hooks::call("wp_mail", vec![&to_zval(&json!(to)), &subject, &body])
            }
            _ => {
                let headers = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\
                               Content-Transfer-Encoding: 8bit";
                hooks::call("mail", vec![&to.join(", "), &encoded(subject), &body, &headers])
            }
        };
        match taken.and_then(|answer| answer.bool()) {
            Some(true) => Ok(()),
            _ => {
                Err("the mail was not taken; php.ini sendmail_path or the mail plugin's log says why"
                    .to_owned())
            }
        }
    }
}

/// A subject with anything but ASCII in it has to be wrapped up (RFC 2047).
fn encoded(subject: &str) -> String {
    if subject.is_ascii() {
        return subject.to_owned();
    }
    let words = subject.as_bytes().chunks(30).map(|chunk| {
        let digits: String = chunk.iter().map(|byte| format!("={byte:02X}")).collect();
        format!("=?UTF-8?Q?{digits}?=")
    });
    words.collect::<Vec<_>>().join("\r\n ")
}
