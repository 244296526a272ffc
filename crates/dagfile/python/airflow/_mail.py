"""Mail as Airflow sends it: `send_email`, and what `EmailOperator` does. Only ever sent in a task's own process.

Where to and as whom: the connection `conn_id`, or `smtp_default` where there is one; what it leaves open is `[smtp]` of the configuration. A
connection with a host counts as the smtp provider reads it (TLS from the first byte, unless its extra says `disable_ssl`), one without gives
the login alone, as Airflow's own `send_email` reads it.
"""

import os
import re

from airflow import _answers, _session
from airflow._problem import AirflowException, Unsupported

DEFAULT_CONNECTION = "smtp_default"


class _Server:
    """Where mail is handed in."""

    def __init__(self, conn_id):
        conf = _answers.conf
        connection = _connection(conn_id)
        extra = connection.extra_dejson if connection is not None else {}
        self.login = connection.login if connection is not None else None
        self.password = connection.password if connection is not None and self.login else None
        if connection is not None and connection.host:
            self.host, self.ssl = connection.host, not _is_true(extra.get("disable_ssl"))
            self.starttls = not self.ssl and not _is_true(extra.get("disable_tls"))
            self.port = connection.port or (465 if self.ssl else 587)
            self.named_by = "the connection %s" % connection.conn_id
        else:
            self.host = conf.get("smtp", "smtp_host", fallback="localhost")
            self.port = conf.getint("smtp", "smtp_port", fallback=25)
            self.ssl = conf.getboolean("smtp", "smtp_ssl", fallback=False)
            self.starttls = not self.ssl and conf.getboolean("smtp", "smtp_starttls", fallback=True)
            self.named_by = "[smtp] of the configuration: set AIRFLOW__SMTP__SMTP_HOST and the like for the scheduler, or add the connection %s" \
                % DEFAULT_CONNECTION
        if not self.login:
            # Without a login there is nothing to prove: the password is asked for only then.
            self.login = conf.get("smtp", "smtp_user", fallback=None)
            self.password = conf.get("smtp", "smtp_password", fallback=None) if self.login else None
        self.timeout = float(extra.get("timeout") or conf.getint("smtp", "smtp_timeout", fallback=30))
        self.tries = max(1, int(extra.get("retry_limit") or conf.getint("smtp", "smtp_retry_limit", fallback=5)))
        self.sender = extra.get("from_email") or conf.get("smtp", "smtp_mail_from", fallback="airflow@example.com")

    def send(self, sender, recipients, message):
        """Hands in one mail."""
        import smtplib
        import ssl

        kind = smtplib.SMTP_SSL if self.ssl else smtplib.SMTP
        more = {"context": ssl.create_default_context()} if self.ssl else {}
        try:
            for left in reversed(range(self.tries)):
                try:
                    server = kind(self.host, self.port, timeout=self.timeout, **more)
                    break
                except smtplib.SMTPServerDisconnected:
                    if not left:
                        raise
            with server:
                if self.starttls:
                    server.starttls(context=ssl.create_default_context())
                if self.login and self.password:
                    server.login(self.login, self.password)
                server.sendmail(sender, recipients, message.as_string())
        except (OSError, smtplib.SMTPException) as error:
            raise AirflowException("no mail was sent by %s:%s: %s (this server is of %s)" % (self.host, self.port, error, self.named_by)) from error


def _is_true(value):
    return str(value).lower() in ("true", "1", "t", "yes")


def _connection(conn_id):
    """The connection; nothing where the default one does not exist."""
    session = _session.current()
    if conn_id in (None, DEFAULT_CONNECTION):
        conn_id = DEFAULT_CONNECTION
        there = "AIRFLOW_CONN_" + conn_id.upper() in session.environment or session.answer("connection", conn_id) != (None, None)
        if not there:
            return None
    return _answers.Connection.get(conn_id)


def get_email_address_list(addresses):
    """Addresses, of a text with commas or semicolons or of a list."""
    if isinstance(addresses, str):
        return [one for one in (part.strip() for part in re.split(r"[,;]", addresses)) if one]
    found = list(addresses)
    wrong = [one for one in found if not isinstance(one, str)]
    if wrong:
        raise TypeError("an address of a mail is a %s, not a text" % type(wrong[0]).__name__)
    return found


def build_mime_message(mail_from, to, subject, html_content, files=None, cc=None, bcc=None, mime_subtype="mixed", mime_charset="utf-8",
                       custom_headers=None):
    """The mail, and everybody it goes to."""
    from email.mime.application import MIMEApplication
    from email.mime.multipart import MIMEMultipart
    from email.mime.text import MIMEText
    from email.utils import formatdate

    message = MIMEMultipart(mime_subtype)
    to, cc, bcc = (get_email_address_list(some) if some else [] for some in (to, cc, bcc))
    message["Subject"], message["From"], message["To"] = subject, mail_from, ", ".join(to)
    if cc:
        message["CC"] = ", ".join(cc)
    message["Date"] = formatdate(localtime=True)
    message.attach(MIMEText(html_content, "html", mime_charset))
    for path in files or []:
        name = os.path.basename(path)
        with open(path, "rb") as file:
            part = MIMEApplication(file.read(), Name=name)
        part["Content-Disposition"] = 'attachment; filename="%s"' % name
        part["Content-ID"] = "<%s>" % name
        message.attach(part)
    for name, value in (custom_headers or {}).items():
        message[name] = value
    return message, to + cc + bcc


def send_email(to, subject, html_content, files=None, dryrun=False, cc=None, bcc=None, mime_subtype="mixed", mime_charset="utf-8", conn_id=None,
               custom_headers=None, from_email=None, **kwargs):
    """Sends a mail."""
    from airflow import _missing

    if not _missing.running:
        raise Unsupported("send_email() does not work while the file is read", "send it inside a task")
    server = _Server(conn_id)
    sender = from_email or server.sender
    message, recipients = build_mime_message(sender, to, subject, html_content, files, cc, bcc, mime_subtype, mime_charset, custom_headers)
    if not recipients:
        raise AirflowException("the mail %r has no recipient: `to`, `cc` and `bcc` are empty" % subject)
    if dryrun:
        return
    server.send(sender, recipients, message)


send_email_smtp = send_email


def of_operator(task):
    """What an `EmailOperator` does."""
    if task.subject is None or task.html_content is None:
        raise AirflowException("%s has no %s" % (task.task_id, "subject" if task.subject is None else "html_content"))
    send_email(task.to, task.subject, task.html_content, files=task.files, cc=task.cc, bcc=task.bcc, mime_subtype=task.mime_subtype,
               mime_charset=task.mime_charset, conn_id=task.conn_id, custom_headers=task.custom_headers, from_email=task.from_email)
    task.log.info("Sent %r to %s", task.subject, ", ".join(get_email_address_list(task.to)))
