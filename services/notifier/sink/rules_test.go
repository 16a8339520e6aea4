package sink

import (
	"net/netip"
	"strings"
	"testing"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}

// W8 and the form of events.md 7.7.1.
func TestParse(t *testing.T) {
	t.Parallel()
	open := Rules{AllowCIDRs: loopback, Ports: []int{8080}}
	for _, c := range []struct {
		url   string
		rules Rules
		want  string // in the error; empty: accepted
	}{
		{"https://hooks.example.com/in?token=x", Rules{}, ""},
		{"https://hooks.example.com", Rules{}, ""},
		{"https://hooks.example.com:8443/", Rules{}, ""},
		{"https://1.1.1.1/", Rules{}, ""},
		{"https://[2606:4700::1111]/", Rules{}, ""},
		{"https://xn--bcher-kva.example/", Rules{}, ""},
		{"https://my_hooks.example/", Rules{}, ""},
		{"https://a1.2b/", Rules{}, ""},
		{"http://127.0.0.1:8080/", open, ""},
		{"http://[::1]:8080/", open, ""},
		{"http://hooks.internal:8080/", open, ""},

		{"", Rules{}, "https://"}, {"hooks.example.com", Rules{}, "https://"}, {"ftp://a.example/", Rules{}, "https://"},
		{"https:///path", Rules{}, "host"}, {"https:a.example", Rules{}, "host"}, {"https://:443/", Rules{}, "name nor an address"},
		{"https://user@a.example/", Rules{}, "user info"}, {"https://u:p@a.example/", Rules{}, "user info"}, {"https://@a.example/", Rules{}, "user info"},
		{"https://a.example/#x", Rules{}, "fragment"}, {"https://a.example/#", Rules{}, "fragment"},
		{"https://a.example/" + strings.Repeat("x", 2040), Rules{}, "2048"},
		{"https://a.example:8080/", Rules{}, "8080"}, {"https://a.example:/", Rules{}, "empty port"},
		{"https://a.example:0443/", Rules{}, "0443"}, {"https://a.example:70000/", Rules{}, "70000"},
		{"http://a.example:443/", Rules{}, "allowCidrs"}, {"http://a.example/", open, "port 80"}, {"http://8.8.8.8:443/", open, "allowCidrs only"},
		{"https://a.example./", Rules{}, "name nor an address"}, {"https://bücher.example/", Rules{}, "xn--"},
		{"https://a example/", Rules{}, "space"}, {`https://a.example\@b.example/`, Rules{}, "backslash"},
		{"https://a%2eexample/", Rules{}, ""}, {"https://-a.example/", Rules{}, "name nor an address"},

		// Addresses in other clothes.
		{"http://2130706433/", open, "short, decimal, octal"}, {"https://2130706433/", Rules{}, "short, decimal, octal"},
		{"https://0x7f000001/", Rules{}, "short, decimal, octal"}, {"https://0x7f.0.0.1/", Rules{}, "short, decimal, octal"},
		{"https://0177.0.0.1/", Rules{}, "short, decimal, octal"}, {"https://017700000001/", Rules{}, "short, decimal, octal"},
		{"https://127.1/", Rules{}, "short, decimal, octal"}, {"https://127.0.1/", Rules{}, "short, decimal, octal"},
		{"https://127.0.0.0x1/", Rules{}, "short, decimal, octal"}, {"https://0x/", Rules{}, "short, decimal, octal"},
		{"https://1.2.3.4.5/", Rules{}, "short, decimal, octal"}, {"https://256.1.1.1/", Rules{}, "short, decimal, octal"},
		{"https://[0:0:0:0:0:0:0:1]/", Rules{}, "canonical"}, {"https://[2606:4700:0::1111]/", Rules{}, "canonical"},
		{"https://[2606:4700::ABCD]/", Rules{}, "canonical"}, {"https://[fe80::1%25eth0]/", Rules{}, "IPv6"}, {"https://[x]/", Rules{}, ""},

		// W8: forbidden addresses.
		{"https://127.0.0.1/", Rules{}, "not allowed"}, {"https://10.0.0.1/", Rules{}, "not allowed"},
		{"https://169.254.169.254/", Rules{}, "never"}, {"https://[::1]/", Rules{}, "not allowed"},
		{"https://[fd00::1]/", Rules{}, "not allowed"}, {"https://100.64.0.1/", Rules{}, "not allowed"},
		{"https://[::ffff:127.0.0.1]/", Rules{}, "not allowed"}, {"https://[64:ff9b::a00:1]/", Rules{}, "not allowed"},
		{"https://10.0.0.1/", open, "not allowed"}, {"https://0.0.0.0/", open, "never"},
	} {
		s, err := c.rules.Parse(c.url)
		refusedByURL := c.url == "https://a%2eexample/" || c.url == "https://[x]/" // whatever the words
		switch {
		case refusedByURL && err == nil:
			t.Errorf("%s: accepted", c.url)
		case refusedByURL:
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.url, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: want an error with %q, got %v", c.url, c.want, err)
		case c.want == "" && s.Origin() == "":
			t.Errorf("%s: no origin", c.url)
		}
	}
}

func TestSink_ShowsNoQuery(t *testing.T) {
	t.Parallel()
	for url, want := range map[string][2]string{
		"https://a.example/in?token=canary": {"https://a.example/in?…", "https://a.example:443"},
		"https://[2606:4700::1111]:8443/":   {"https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443"},
		"https://a.example/in?":             {"https://a.example/in?…", "https://a.example:443"},
	} {
		s, err := Rules{}.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{s.String(), s.Origin()}; got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
	if _, err := (Rules{}).Parse("https://a.example:99/in?token=canary"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

// Events.md 7.7.3 to 5: first and last address of the ranges, and their neighbours.
func TestJudge(t *testing.T) {
	t.Parallel()
	const closed, forever, public = "closed", "forever", "public"
	everything := Rules{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	for addr, want := range map[string]string{
		"0.0.0.0": forever, "0.255.255.255": closed, "1.0.0.0": public, "9.255.255.255": public, "10.0.0.0": closed,
		"10.255.255.255": closed, "11.0.0.0": public, "100.63.255.255": public, "100.64.0.0": closed, "100.100.100.200": forever,
		"100.127.255.255": closed, "100.128.0.0": public, "126.255.255.255": public, "127.0.0.1": closed, "127.255.255.255": closed,
		"128.0.0.0": public, "169.253.255.255": public, "169.254.0.0": forever, "169.254.169.254": forever, "169.255.0.0": public,
		"172.15.255.255": public, "172.16.0.0": closed, "172.31.255.255": closed, "172.32.0.0": public, "192.0.0.1": closed,
		"192.0.1.1": public, "192.0.2.1": closed, "192.88.99.1": closed, "192.168.0.1": closed, "192.169.0.1": public,
		"198.17.255.255": public, "198.18.0.0": closed, "198.19.255.255": closed, "198.20.0.0": public, "198.51.100.1": closed,
		"203.0.113.1": closed, "223.255.255.255": public, "224.0.0.0": forever, "239.255.255.255": forever, "240.0.0.0": closed,
		"255.255.255.255": closed, "168.63.129.16": forever, "168.63.129.17": public,

		"::": forever, "::1": closed, "::127.0.0.1": closed, "::2:0:0": public, "64:ff9b::808:808": public, "64:ff9b::a00:1": closed,
		"64:ff9b::a9fe:a9fe": forever, "64:ff9b:1::1": closed, "100::1": closed, "2001::1": closed, "2001:1::1": public,
		"2001:db8::1": closed, "2002:808:808::1": public, "2002:a00:1::1": closed, "2002:a9fe:a9fe::": forever, "3fff::1": closed,
		"3fff:1000::1": public, "5f00::1": closed, "fc00::1": closed, "fd00::1": closed, "fd00:ec2::254": forever,
		"fd00:ec2::253": closed, "fe80::1": forever, "febf::1": forever, "fec0::1": closed, "ff02::1": forever,
		"2606:4700::1111": public, "::ffff:8.8.8.8": public, "::ffff:10.0.0.1": closed, "::ffff:169.254.169.254": forever,
		"fe80::1%eth0": forever, "2606:4700::1111%eth0": forever,
	} {
		a := netip.MustParseAddr(addr)
		got := public
		if (Rules{}).judge(a, false) != nil {
			got = closed
		}
		if everything.judge(a, false) != nil {
			got = forever
		}
		if got != want {
			t.Errorf("%s: want %s, got %s", addr, want, got)
		}
		if (Rules{}).judge(a, true) == nil {
			t.Errorf("%s: http goes there without allowCidrs", addr)
		}
	}
}

func TestJudge_AllowCIDRsOpenExactlyWhatTheySay(t *testing.T) {
	t.Parallel()
	r := Rules{AllowCIDRs: loopback}
	for addr, open := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false, "::1": true, "::ffff:127.0.0.1": true, "10.0.0.1": false} {
		for _, plain := range []bool{true, false} {
			if err := r.judge(netip.MustParseAddr(addr), plain); (err == nil) != open {
				t.Errorf("%s, http %v: %v", addr, plain, err)
			}
		}
	}
}

func TestParseCIDR(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"127.0.0.1/32": "", "::1/128": "", "10.0.0.0/8": "", "fd00::/8": "", "0.0.0.0/0": "",
		"10.1.2.3/8": "write 10.0.0.0/8, or 10.1.2.3/32", "127.0.0.1": "no CIDR", "x": "no CIDR", "": "no CIDR",
		"169.254.169.254/32": "never opened", "169.254.0.0/16": "never opened", "fe80::/64": "never opened",
		"fd00:ec2::254/128": "never opened", "224.0.0.0/8": "never opened", "::ffff:10.0.0.0/104": "IPv4",
	} {
		_, err := ParseCIDR(s)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: want an error with %q, got %v", s, want, err)
		}
	}
}
