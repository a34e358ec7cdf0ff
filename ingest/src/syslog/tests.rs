//! The scanner against what was seen in the wild, against pairs that another daemon's authors
//! wrote down, and against another parser.

use proptest::prelude::*;

use super::*;

fn show(record: &str) -> String {
    let header = read(record);
    let mut lines = vec![format!("{record:?}")];
    if let Some(priority) = header.priority {
        lines.push(format!("priority {priority}"));
    }
    if let Some(stamp) = header.stamp {
        let received = keng_event::Timestamp::from_seconds(1_795_341_600); // 2026-11-22T10:00Z
        let time = stamp.resolve(&jiff::tz::TimeZone::UTC, received);
        lines.push(format!("time {}", time.map_or("none".to_owned(), |time| time.to_string())));
    }
    for (name, value) in [
        ("version", header.version),
        ("sequence", header.sequence),
        ("hostname", header.hostname),
        ("appname", header.appname),
        ("procid", header.procid),
        ("msgid", header.msgid),
        ("structured data", header.structured_data),
    ] {
        if let Some(value) = value {
            lines.push(format!("{name} {value:?}"));
        }
    }
    lines.push(format!("text {:?}", header.text));
    lines.extend(header.defects.tags().map(str::to_owned));
    lines.join("\n    ")
}

#[test]
fn rfc3164_as_it_is_met() {
    let shapes = [
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
        "Feb 18 16:01:59 serverX -- MARK --",
        "<46>Feb 18 16:01:59 -- MARK --",
        "<13>Mar  1 10:00:00 web1 last message repeated 3 times",
        "<13>Mar  1 10:00:00 last message repeated 3 times",
        "<38>Mar 27 19:06:53 web1 sshd(pam_unix)[12750]: session opened",
        "<167>Mar  6 16:57:54 172.20.245.8 %PIX-7-710005: UDP request discarded",
        "<166>Mar  6 2021 16:57:54: %ASA-6-302013: Built outbound TCP connection",
        "<166>Mar  6 2021 16:57:54 fw01 : %ASA-6-734001: DAP: User x",
        "<166>Mar  6 2021 16:57:54: fw01: %ASA-6-734001: DAP: User x",
        "<166>2021-03-02T09:03:50Z fw01 : %ASA-6-734001: DAP: User x",
        "<189>29: foo: *Apr 29 13:58:40.411: %SYS-5-CONFIG_I: Configured from console",
        "<189>29: *Apr 29 13:58:40.411 UTC: %SYS-5-CONFIG_I: Configured from console",
        "<189>: .Nov 18 21:03:22.631 GMT: %SYS-5-CONFIG_I: Configured",
        "<190>31: 00:01:01: %SYSMGR-3-UNEXPECTED: exited",
        "<190>31: 1w2d: %SYS-5-RESTART: System restarted",
        "<190>31: %SYS-5-RESTART: System restarted",
        "<187>022546: Jul 30 12:11:10.123 CDT: %LINK-3-UPDOWN: Interface up",
        "<189>: 2020 Oct 14 10:11:12 EDT: %L2FM-4-L2FM_MAC_MOVE: Mac moved",
        "<189>2020 Oct 14 10:11:12 nx1 %L2FM-4-L2FM_MAC_MOVE: Mac moved",
        "<189>1234: RP/0/RSP0/CPU0:Mar  1 10:11:12.001: config[65539]: %MGBL-CONFIG-6-DB_COMMIT : x",
        "<190>2016-01-08 10:21:48 USG6000E %%01SECLOG/6/SESSION_BUILT(l):IPVer=4,Protocol=udp",
        "<189>date=2019-05-10 time=11:37:47 devname=\"fw\" logid=\"0000000013\"",
        "<132>Jun 15 10:00:00 router forward: in:ether1 out:bridge, proto TCP (SYN)",
        "<30>system,info,account user admin logged in from 10.0.0.1 via ssh",
        "<27>xapi: [error|xen3|15|Guest liveness monitor] Sleeping",
        "<13>Sep  7 10:43:21 Message forwarded from web1: sshd[1]: Accepted",
        "<13>Sep  7 10:43:21 kernel: eth0: link up",
        "<6>Sep  7 10:43:21 web1 kernel: [12.5] eth0: link up",
        "<13>Sep  7 10:43:21 0001:BABA:BA00:DAB::BAB0 su: x",
        "<13>Sep  7 10:43:21 fe80:: su: x",
        "<14>Sep  7 10:43:21 router-a:lsys1 RT_FLOW: RT_FLOW_SESSION_CREATE: session",
        "<13>Sep  7 10:43:21 mac1 com.apple.xpc.launchd[1] (com.apple.x): Service exited",
        "<13>Sep  7 10:43:21 web1 CRON[99]: (root) CMD (true)\r\n",
        "<13>Sep  7 10:43:21 web1 app: text\0",
        "\u{feff}<13>Sep  7 10:43:21 web1 app: text",
        "2026-11-22T10:00:00.5+07:00 web1 sshd[1]: Accepted",
        "2026-11-22 10:00:00 INFO started in 5 s",
        "2026-11-22 10:00:00 web1 sshd[1]: Accepted",
        "<13>http://example.org/ is up",
        "<13>{\"c1\":1}",
        "<192>Sep  7 10:43:21 web1 app: text",
        "<999>x",
        "<>x",
        "<13",
        "this is not syslog",
        "",
    ];
    let shown: Vec<_> = shapes.into_iter().map(show).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn rfc5424_as_it_is_met() {
    let shapes = [
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}su root failed",
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% make the do-nuts.",
        "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@1 iut=\"3\" k=\"x\\]\"][b@1 c=\"h\"] App",
        "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@1 eventSource= \"Application\"] App",
        "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@1 iut=\"3\"]",
        "<165>1 - - - - - -",
        "<165>1 - - - - - - text",
        "<134>1 2018-03-21 17:25:25 MDS-72 CheckPoint 13752 - [action:\"Accept\"; flags:\"411908\"; ]",
        "<134>1 2018-03-21T17:25:25Z MDS-72 CheckPoint 13752 - [action:\"Acc",
        "<134>1 1374543213.342705328 MX84 urls src=192.168.1.186:63735",
        "<13>1 2026-11-22T10:00:00Z host app",
        "<13>1 2026-11-22T10:00:00Z host app 1 id no structured data",
        "<13>1 not-a-stamp host app - - - text",
        "<13>12 apples",
        "<13>1 2026-02-30T10:00:00Z host app - - - text",
    ];
    let shown: Vec<_> = shapes.into_iter().map(show).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

mod oracle;

proptest! {
    #[test]
    fn never_panics_and_keeps_to_the_record(record in "\\PC{0,60}") {
        let header = read(&record);
        prop_assert!(record.contains(header.text));
    }

    #[test]
    fn near_syslog_never_panics(
        record in "(<[0-9]{0,4}>)?[1-9 ]{0,2}(Oct|Mar|2026-|-|\\*|29: )?[ 0-9:T.Z+\\-]{0,24}[a-z:%\\[\\]\"=\\\\ ä]{0,40}"
    ) {
        let header = read(&record);
        prop_assert!(record.contains(header.text));
    }

    #[test]
    fn what_is_written_by_the_book_is_read_back(
        priority in 0_u8..=191,
        second in 0_i64..4_000_000_000,
        host in "[a-z][a-z0-9.-]{0,30}",
        app in "[a-zA-Z][a-zA-Z0-9_./-]{0,30}",
        pid in 1_u32..,
        text in "[a-zA-Z0-9äöü=\"(][\\PC&&[^\u{feff}]]{0,40}[a-z.)]",
    ) {
        let time = keng_event::Timestamp::from_seconds(second);
        let record = format!("<{priority}>1 {time} {host} {app} {pid} - - {text}");
        let header = read(&record);
        prop_assert_eq!(header.priority, Some(priority));
        let resolved = header.stamp.unwrap().resolve(&jiff::tz::TimeZone::UTC, time);
        prop_assert_eq!(resolved, Some(time));
        prop_assert_eq!(header.hostname, Some(&*host));
        prop_assert_eq!((header.appname, header.text), (Some(&*app), &*text));
        let stamp = jiff::Timestamp::from_second(second).unwrap().strftime("%b %e %H:%M:%S");
        let record = format!("<{priority}>{stamp} {host} {app}[{pid}]: {text}");
        let header = read(&record);
        prop_assert_eq!(header.priority, Some(priority));
        let resolved = header.stamp.unwrap().resolve(&jiff::tz::TimeZone::UTC, time);
        prop_assert_eq!(resolved, Some(time));
        prop_assert_eq!(header.procid, Some(&*pid.to_string()));
        prop_assert_eq!((header.hostname, header.appname), (Some(&*host), Some(&*app)));
        prop_assert_eq!((header.text, header.defects), (&*text, Defects::default()));
    }
}
