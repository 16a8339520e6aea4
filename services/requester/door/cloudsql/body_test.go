package cloudsql

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var levels = []string{"LEVEL_UNSPECIFIED", "LOW", "", "HIGH"} // number 2 was never given

func TestBody_Members(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		body string
		read func(*body) any
		want any
	}{
		"text":                         {`{"a":"x\u00e9\n"}`, func(b *body) any { return b.text("a") }, member[string]{true, false, "xé\n"}},
		"text that is empty":           {`{"a":""}`, func(b *body) any { return b.text("a") }, member[string]{true, false, ""}},
		"absent":                       {`{"b":""}`, func(b *body) any { return b.text("a") }, member[string]{}},
		"null":                         {`{"a": null}`, func(b *body) any { return b.text("a") }, member[string]{true, true, ""}},
		"true":                         {`{"a":true}`, func(b *body) any { return b.flag("a") }, member[bool]{true, false, true}},
		"false is a value":             {`{"a":false}`, func(b *body) any { return b.flag("a") }, member[bool]{true, false, false}},
		"int32":                        {`{"a":7}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 7}},
		"int32 quoted":                 {`{"a":"7"}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 7}},
		"int32 in escapes":             {`{"a":"\u0037"}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 7}},
		"int32 with a point":           {`{"a":7.0}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 7}},
		"int32 with an exponent":       {`{"a":1e3}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 1000}},
		"int32 quoted, exponent":       {`{"a":"-1.5E+1"}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, -15}},
		"int32, negative exponent":     {`{"a":12000e-3}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 12}},
		"int32, small mantissa":        {`{"a":0.0012e4}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 12}},
		"zero in any form":             {`{"a":-0.0e999999999999}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 0}},
		"largest int32":                {`{"a":2147483647}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 1<<31 - 1}},
		"largest int64":                {`{"a":"9223372036854775807"}`, func(b *body) any { return b.int64("a") }, member[int64]{true, false, 1<<63 - 1}},
		"smallest int64":               {`{"a":-9223372036854775808}`, func(b *body) any { return b.int64("a") }, member[int64]{true, false, -1 << 63}},
		"time":                         {`{"a":"2026-05-04T12:00:00Z"}`, func(b *body) any { return b.time("a") }, member[time.Time]{true, false, noon}},
		"time of another offset":       {`{"a":"2026-05-04T17:30:00.000+05:30"}`, func(b *body) any { return b.time("a") }, member[time.Time]{true, false, noon}},
		"time in nanoseconds":          {`{"a":"2026-05-04T12:00:00.000000001Z"}`, func(b *body) any { return b.time("a") }, member[time.Time]{true, false, noon.Add(1)}},
		"enum by name":                 {`{"a":"HIGH"}`, func(b *body) any { return b.enum("a", levels) }, member[string]{true, false, "HIGH"}},
		"enum by number":               {`{"a":3}`, func(b *body) any { return b.enum("a", levels) }, member[string]{true, false, "HIGH"}},
		"enum by number 0":             {`{"a":0}`, func(b *body) any { return b.enum("a", levels) }, member[string]{true, false, "LEVEL_UNSPECIFIED"}},
		"snake_case":                   {`{"start_time_of_day":"x"}`, func(b *body) any { return b.text("startTimeOfDay") }, member[string]{true, false, "x"}},
		"case matters":                 {`{"Enabled":false,"ENABLED":false}`, func(b *body) any { return b.flag("enabled") }, member[bool]{}},
		"a nested member":              {`{"a":{"b_c":{"d":1}}}`, func(b *body) any { return b.object("a").object("bC").int32("d") }, member[int32]{true, false, 1}},
		"below an absent object":       {`{}`, func(b *body) any { return b.object("a").object("b").int32("d") }, member[int32]{}},
		"below null":                   {`{"a":null}`, func(b *body) any { return b.object("a").int32("d") }, member[int32]{}},
		"an object may be null":        {`{"a":null}`, func(b *body) any { o := b.object("a"); return []bool{o.present, o.null} }, []bool{true, true}},
		"an object may be empty":       {`{"a":{}}`, func(b *body) any { o := b.object("a"); return []bool{o.present, o.null} }, []bool{true, false}},
		"an object may be absent":      {`{}`, func(b *body) any { o := b.object("a"); return []bool{o.present, o.null} }, []bool{false, false}},
		"unknown members are ignored":  {`{"x":{"y":[1,"",{}]},"x_x":1,"xX":2,"a":1}`, func(b *body) any { return b.int32("a") }, member[int32]{true, false, 1}},
		"empty body":                   {``, func(b *body) any { return b.text("a") }, member[string]{}},
		"only white space":             {" \r\n\t", func(b *body) any { return b.text("a") }, member[string]{}},
		"white space about":            {"\n{\n}\n", func(b *body) any { return b.text("a") }, member[string]{}},
		"brackets in a string":         {`{"a":"` + strings.Repeat(`[\"{`, 200) + `"}`, func(b *body) any { return len(b.text("a").value) }, 600},
		"nested as deep as is allowed": {`{"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`, func(b *body) any { return b.text("x") }, member[string]{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := readBody(strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			got := c.read(b)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(member[string]{}, member[bool]{}, member[int32]{}, member[int64]{}, member[time.Time]{})); diff != "" {
				t.Error(diff)
			}
			if err := b.err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBody_WrongValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		read func(*body)
		want string
	}{
		"text":                {`{"a":5}`, func(b *body) { b.text("a") }, "Invalid value at 'a', expected a string."},
		"flag in quotes":      {`{"a":"true"}`, func(b *body) { b.flag("a") }, "Invalid value at 'a', expected true or false."},
		"flag as number":      {`{"a":1}`, func(b *body) { b.flag("a") }, "Invalid value at 'a', expected true or false."},
		"fraction":            {`{"a":1.5}`, func(b *body) { b.int32("a") }, "Invalid value at 'a', expected an int32."},
		"small fraction":      {`{"a":1e-1}`, func(b *body) { b.int32("a") }, "Invalid value at 'a', expected an int32."},
		"int32 too large":     {`{"a":2147483648}`, func(b *body) { b.int32("a") }, "Invalid value at 'a', expected an int32."},
		"int64 too large":     {`{"a":"9223372036854775808"}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"int64 too small":     {`{"a":-9223372036854775809}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"int64 very large":    {`{"a":1e99999}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"int64 endless":       {`{"a":1e99999999999999999999}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"empty number":        {`{"a":""}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"number with a space": {`{"a":"7 "}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"number with a plus":  {`{"a":"+7"}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"hexadecimal":         {`{"a":"0x7"}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"leading zero":        {`{"a":"07"}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"no number":           {`{"a":"NaN"}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"number as object":    {`{"a":{}}`, func(b *body) { b.int64("a") }, "Invalid value at 'a', expected an int64."},
		"time without offset": {`{"a":"2026-05-04T12:00:00"}`, func(b *body) { b.time("a") }, "Invalid value at 'a', expected an RFC 3339 timestamp."},
		"time of 25 o'clock":  {`{"a":"2026-05-04T25:00:00Z"}`, func(b *body) { b.time("a") }, "Invalid value at 'a', expected an RFC 3339 timestamp."},
		"time before year 1":  {`{"a":"0001-01-01T00:00:00+01:00"}`, func(b *body) { b.time("a") }, "Invalid value at 'a', expected an RFC 3339 timestamp."},
		"time as number":      {`{"a":5}`, func(b *body) { b.time("a") }, "Invalid value at 'a', expected an RFC 3339 timestamp."},
		"unknown enum name":   {`{"a":"high"}`, func(b *body) { b.enum("a", levels[:2]) }, "Invalid value at 'a', expected one of LEVEL_UNSPECIFIED, LOW."},
		"empty enum name":     {`{"a":""}`, func(b *body) { b.enum("a", levels[:2]) }, "Invalid value at 'a', expected one of LEVEL_UNSPECIFIED, LOW."},
		"enum number beyond":  {`{"a":2}`, func(b *body) { b.enum("a", levels[:2]) }, "Invalid value at 'a', expected one of LEVEL_UNSPECIFIED, LOW."},
		"enum number unused":  {`{"a":2}`, func(b *body) { b.enum("a", levels) }, "Invalid value at 'a', expected one of LEVEL_UNSPECIFIED, LOW, HIGH."},
		"negative enum":       {`{"a":-1}`, func(b *body) { b.enum("a", levels[:2]) }, "Invalid value at 'a', expected one of LEVEL_UNSPECIFIED, LOW."},
		"enum as flag":        {`{"a":true}`, func(b *body) { b.enum("a", levels[:2]) }, "Invalid value at 'a', expected one of LEVEL_UNSPECIFIED, LOW."},
		"list for an object":  {`{"a":[{}]}`, func(b *body) { b.object("a").text("b") }, "Invalid value at 'a', expected an object."},
		"below two objects":   {`{"a":{"b_c":{"d":[]}}}`, func(b *body) { b.object("a").object("bC").text("d") }, "Invalid value at 'a.bC.d', expected a string."},
		"twice":               {`{"a":1,"a":1}`, func(b *body) { b.int32("a") }, "Invalid value at 'a', the member is there twice."},
		"three times":         {`{"a":1,"a":1,"a":2}`, func(b *body) { b.int32("a") }, "Invalid value at 'a', the member is there twice."},
		"in two spellings":    {`{"bC":false,"b_c":true}`, func(b *body) { b.flag("bC") }, "Invalid value at 'bC', the member is there twice."},
		"the first one is told": {`{"a":{"b":1},"c":1}`, func(b *body) { b.object("a").text("b"); b.text("c") },
			"Invalid value at 'a.b', expected a string."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := readBody(strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			c.read(b)
			if e := asError(t, b.err()); e.code != 400 || e.reason != "invalid" || e.status != "INVALID_ARGUMENT" || e.message != c.want {
				t.Errorf("%+v, want %q", e, c.want)
			}
		})
	}
}

func TestBody_Refused(t *testing.T) { // PD-10
	t.Parallel()
	limited := func(r io.Reader) io.Reader {
		return http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(r), maxBody)
	}
	for name, c := range map[string]struct {
		body   io.Reader
		code   int
		reason string
	}{
		"not JSON":         {strings.NewReader(`{"a":`), 400, "parseError"},
		"single quotes":    {strings.NewReader(`{'a':1}`), 400, "parseError"},
		"something behind": {strings.NewReader(`{} {}`), 400, "parseError"},
		"a form":           {strings.NewReader(`a=1&b=2`), 400, "parseError"},
		"byte order mark":  {strings.NewReader("\ufeff{}"), 400, "parseError"},
		"not UTF-8":        {strings.NewReader("{\"a\":\"\xff\"}"), 400, "parseError"},
		"UTF-16":           {strings.NewReader("{\x00}\x00"), 400, "parseError"},
		"control in text":  {strings.NewReader("{\"a\":\"\x01\"}"), 400, "parseError"},
		"too deep":         {strings.NewReader(`{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`), 400, "parseError"},
		"very deep":        {strings.NewReader(strings.Repeat(`{"a":`, 100_000)), 400, "parseError"},
		"a list":           {strings.NewReader(`[]`), 400, "invalid"},
		"a text":           {strings.NewReader(`"x"`), 400, "invalid"},
		"a number":         {strings.NewReader(`1`), 400, "invalid"},
		"null":             {strings.NewReader(`null`), 400, "invalid"},
		"10 MB":            {limited(bytes.NewReader(make([]byte, 10<<20))), 413, "requestTooLarge"},
		"10 MB of text":    {limited(strings.NewReader(`{"a":"` + strings.Repeat("x", 10<<20) + `"}`)), 413, "requestTooLarge"},
		"a cut line":       {io.MultiReader(strings.NewReader(`{"a":`), iotest.ErrReader(io.ErrUnexpectedEOF)), 400, "parseError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readBody(c.body)
			if e := asError(t, err); e.code != c.code || e.reason != c.reason || e.status != "INVALID_ARGUMENT" {
				t.Errorf("%+v", e)
			}
		})
	}
}

// Whatever the body: no panic, every refusal is a 4xx of ours, and what is read says what it is.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		"", "{}", "null", `{"a":1e3,"a_b":"x","aB":true}`, `{"a":{"a":{"a":"2026-05-04T12:00:00+02:00"}}}`, `{"a":"-0.5e1"}`,
		`{"a":1e-9999999}`, `{"a":"\ud800"}`, `{"_":1,"__a":2,"a_":3}`, "{\"a\":\"\xff\"}", strings.Repeat(`{"a":`, 101), `{"a":[]} x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := readBody(bytes.NewReader(raw))
		if err != nil {
			if e := asError(t, err); e.code/100 != 4 {
				t.Fatalf("%+v", e)
			}
			return
		}
		for o, n := b, 0; n < 3; o, n = o.object("a"), n+1 {
			for _, name := range []string{"a", "aB"} {
				small, large := o.int32(name), o.int64(name)
				if small.given() && int64(small.value) != large.value {
					t.Fatalf("int32 %d, int64 %d", small.value, large.value)
				}
				if at := o.time(name); at.given() && at.value.Location() != time.UTC {
					t.Fatalf("time %v", at.value)
				}
				if text, flag := o.text(name), o.flag(name); text.given() && flag.given() {
					t.Fatalf("%q is %v", text.value, flag.value)
				}
				if level := o.enum(name, levels); level.given() && level.value == "" {
					t.Fatal("an enum without a name")
				}
			}
		}
		if err := b.err(); err != nil {
			if e := asError(t, err); e.code/100 != 4 {
				t.Fatalf("%+v", e)
			}
		}
	})
}

// asError is what the client is told of err, which must be an error of this door.
func asError(t *testing.T, err error) *apiError {
	t.Helper()
	var e *apiError
	if !errors.As(err, &e) {
		t.Fatalf("error %v is none of this door", err)
	}
	return convertError(err)
}
