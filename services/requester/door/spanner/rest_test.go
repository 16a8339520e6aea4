package spanner_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	grpcmeta "google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/backupbus/backupbus/events/lifecycle"
)

func body(database string) string {
	return fmt.Sprintf(`{"database":"%s/databases/%s","expireTime":%q}`, parent, database, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339Nano))
}

func TestREST_CreateInEverySpelling(t *testing.T) { // cases 41, 43, 44, (b) 51
	t.Parallel()
	w := setup(t)
	for n, query := range []string{"backupId=%s", "backup_id=%s", "alt=json&backupId=%s", "%%24alt=json%%3Benum-encoding%%3Dint&backupId=%s&encryptionConfig.encryptionType=ENCRYPTION_TYPE_UNSPECIFIED",
		"backupId=%s&encryption_config.encryption_type=2&prettyPrint=true", "backupId=%s&key=k&access_token=t&quotaUser=u&fields=name&$.xgafv=1&uploadType=x&upload_protocol=y&callback=c&oauth_token=o&$prettyPrint=false"} {
		id := fmt.Sprintf("b%d", n)
		a := w.rest("POST", parent+"/backups?"+fmt.Sprintf(query, id), body(id), 200)
		if a.at("done") != nil || a.at("error") != nil || a.at("response") != nil || a.at("metadata/@type") != "type.googleapis.com/google.spanner.admin.database.v1.CreateBackupMetadata" || a.at("metadata/name") != parent+"/backups/"+id {
			t.Errorf("%s: %v", query, a)
		}
	}
	code, header, raw := w.CallHeaders("POST", "/v1/"+parent+"/backups?backupId=untyped", body("untyped"), http.Header{"Content-Type": {`Application/JSON; Charset="utf8"`}})
	if code != 200 {
		t.Errorf("content type with a charset: %d %s %v", code, raw, header)
	}
}

// gcloud sends its hand-made create without a Content-Type, and cancels with nothing at all (case 48).
func TestREST_WithoutAContentType(t *testing.T) {
	t.Parallel()
	w := setup(t)
	send := func(path, text string) (int, string) {
		conn, err := (&net.Dialer{}).DialContext(w.ctx(), "tcp", strings.TrimPrefix(w.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		fmt.Fprintf(conn, "POST /v1/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", path, len(text), text)
		var b strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				break
			}
		}
		var code int
		_, _ = fmt.Sscanf(b.String(), "HTTP/1.1 %d", &code)
		return code, b.String()
	}
	if code, text := send(parent+"/backups?backupId=b1", body("db")); code != 200 {
		t.Fatal(text)
	}
	op := w.operations(&databasepb.ListBackupOperationsRequest{})[0]
	for range 2 {
		if code, text := send(op+":cancel", ""); code != 200 || !strings.HasSuffix(strings.TrimSpace(text), "{}") {
			t.Error(text)
		}
	}
	w.rest("POST", op+":cancel", "{}", 200)
}

func TestREST_WhatCannotBeRead(t *testing.T) { // case 45, (b) 47 to 50
	t.Parallel()
	w := setup(t)
	at := parent + "/backups?backupId=b1"
	for what, c := range map[string]struct{ path, body, message, field string }{
		"a time in seconds":        {at, `{"expireTime":"86400"}`, "Invalid value at 'backup.expire_time' (type.googleapis.com/google.protobuf.Timestamp), Field 'expireTime', Invalid data type for timestamp, value is 86400", "backup.expire_time"},
		"a number as time":         {at, `{"expireTime":86400}`, "Invalid value at 'backup.expire_time' (type.googleapis.com/google.protobuf.Timestamp), Field 'expireTime', Invalid data type for timestamp, value is 86400", "backup.expire_time"},
		"an unknown field":         {at, `{"databse":"x"}`, `Invalid JSON payload received. Unknown name "databse" at 'backup': Cannot find field.`, "backup"},
		"one further in":           {at, `{"encryptionInfo":{"no":1}}`, `Invalid JSON payload received. Unknown name "no" at 'backup.encryption_info': Cannot find field.`, "backup.encryption_info"},
		"an unknown parameter":     {at + "&bakcup=1", body("db"), `Invalid JSON payload received. Unknown name "bakcup": Cannot bind query parameter. Field 'bakcup' could not be found in request message.`, ""},
		"a parameter of the body":  {at + "&backup.database=x", body("db"), `Invalid JSON payload received. Unknown name "backup.database": Cannot bind query parameter. Field 'backup.database' could not be found in request message.`, ""},
		"a parameter of the path":  {at + "&parent=x", body("db"), `Invalid JSON payload received. Unknown name "parent": Cannot bind query parameter. Field 'parent' could not be found in request message.`, ""},
		"no JSON":                  {at, `{"database`, "", ""},
		"an array":                 {at, `[]`, "", ""},
		"two values":               {at, `{}{}`, "", ""},
		"a field twice":            {at, `{"database":"a","database":"b"}`, "", ""},
		"a wrong type":             {at, `{"database":7}`, "", ""},
		"no UTF-8":                 {at, "{\"database\":\"\xff\"}", "", ""},
		"a deep one":               {at, strings.Repeat(`{"encryptionInfo":`, 50) + "{}" + strings.Repeat("}", 50), "", ""},
		"an enum that is none":     {at + "&encryptionConfig.encryptionType=NONE", body("db"), "", ""},
		"a page size that is none": {parent + "/backups?pageSize=many", "", "", ""},
		"a broken query":           {at + "&x=%zz", body("db"), "", ""},
		"a large one":              {at, `{"database":"` + strings.Repeat("x", 1<<20) + `"}`, "Request payload size exceeds the limit: 1048576 bytes.", ""},
		"no body":                  {at, "", "", ""},
		"no id":                    {parent + "/backups", body("db"), "Invalid CreateBackup request.", ""},
	} {
		method := "POST"
		if strings.Contains(c.path, "pageSize") {
			method = "GET"
		}
		a := w.rest(method, c.path, c.body, 400)
		if a.at("error/status") != "INVALID_ARGUMENT" || c.message != "" && a.at("error/message") != c.message {
			t.Errorf("%s: %v", what, a)
		}
		if what == "no JSON" && !strings.HasPrefix(a.at("error/message").(string), "Invalid JSON payload received.") {
			t.Errorf("%s: %v", what, a)
		}
		if c.field != "" {
			details, _ := a.at("error/details").([]any)
			if len(details) != 1 || !strings.Contains(fmt.Sprint(details[0]), "field:"+c.field+"]") || !strings.Contains(fmt.Sprint(details[0]), "google.rpc.BadRequest") {
				t.Errorf("%s: details %v", what, details)
			}
		}
	}
	if n := w.requestedEvents(); n != 0 {
		t.Errorf("%d backups were made", n)
	}
}

func TestREST_PathsThatAreNotThere(t *testing.T) { // case 46, (b) 52, 56
	t.Parallel()
	w := setup(t)
	for path, status := range map[string]string{"projects/acme/instances/orders/backups/b/none": "NOT_FOUND", "projects/acme/instances/orders/databases/d/none/x": "NOT_FOUND",
		"projects/acme/none": "NOT_FOUND", "projects/acme/instances/orders/none": "NOT_FOUND"} {
		if a := w.rest("GET", path, "", 404); a.at("error/status") != status {
			t.Errorf("%s: %v", path, a)
		}
	}
	for _, c := range [][2]string{{"PUT", parent + "/backups/b1"}, {"PATCH", parent + "/backups"}, {"GET", parent + "/backups:copy"}} {
		if a := w.rest(c[0], c[1], "", 405); a.at("error/status") != "UNIMPLEMENTED" {
			t.Errorf("%v: %v", c, a)
		}
	}
	for _, c := range [][3]string{{"GET", parent + "/databases", "ListDatabases"}, {"GET", parent + "/databases/d1", "GetDatabase"}, {"POST", parent + "/backups/b1:getIamPolicy", "GetIamPolicy"},
		{"POST", parent + "/backups/b1:setIamPolicy", "SetIamPolicy"}, {"GET", parent + "/databaseOperations", "ListDatabaseOperations"}} {
		if a := w.rest(c[0], c[1], "", 501); a.at("error/status") != "UNIMPLEMENTED" || a.at("error/message") != "method "+c[2]+" not implemented" {
			t.Errorf("%v: %v", c, a)
		}
	}
}

func TestREST_WhatAReadyBackupLooksLike(t *testing.T) { // case 42, 47
	t.Parallel()
	w := setup(t)
	w.Hand.Shape(func(o *lifecycle.Outcome) { o.SizeBytes = 9007199254740991 })
	w.ready(parent, "b1", "db")
	a := w.rest("GET", parent+"/backups/b1", "", 200)
	if a.at("sizeBytes") != "9007199254740991" || a.at("state") != "READY" || a.at("databaseDialect") != "GOOGLE_STANDARD_SQL" || a.at("encryptionInfo/encryptionType") != "GOOGLE_DEFAULT_ENCRYPTION" {
		t.Errorf("%v", a)
	}
	for _, field := range []string{"createTime", "expireTime", "versionTime", "maxExpireTime", "oldestVersionTime"} {
		text, _ := a.at(field).(string)
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil || !strings.HasSuffix(text, "Z") {
			t.Errorf("%s is %q", field, text)
		}
	}
	for n, spelling := range []string{"expire_time", "expireTime"} {
		to := time.Now().Add(time.Duration(n+2) * 24 * time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
		if a := w.rest("PATCH", parent+"/backups/b1?updateMask="+spelling, `{"name":"projects/x/instances/y/backups/z","expireTime":"`+to+`"}`, 200); a.at("expireTime") != to {
			t.Errorf("%s: %v, want %s", spelling, a, to)
		}
	}
	w.rest("PATCH", parent+"/backups/b1", `{"expireTime":"`+time.Now().Add(24*time.Hour).Format(time.RFC3339)+`"}`, 400) // the mask is not made up from the body
}

func TestREST_ProjectsOfADomain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.RegisterAs("example.com:shop", "orders", "spanner", `{"engine":"spanner"}`)
	of := "projects/example.com:shop/instances/orders"
	a := w.rest("POST", of+"/backups?backupId=b1", strings.ReplaceAll(body("db"), parent, of), 200)
	name, _ := a.at("name").(string)
	if !strings.HasPrefix(name, of+"/backups/b1/operations/") {
		t.Fatalf("%v", a)
	}
	w.rest("GET", strings.ReplaceAll(name, ":", "%3A"), "", 200)
	w.rest("POST", name+":cancel", "", 200)
	if a := w.rest("GET", name, "", 200); a.at("error/code") != float64(codes.Canceled) {
		t.Errorf("%v", a)
	}
}

// One port serves both at the same time (case 49), and Cloud SQL beside them.
func TestPort_IsShared(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.ready(parent, "b1", "db")
	var all sync.WaitGroup
	for _, call := range []func(){
		func() { w.backup(parent + "/backups/b1") },
		func() { w.rest("GET", parent+"/backups/b1", "", 200) },
		func() {
			if code, raw := w.Call("GET", "/v1/projects/acme/instances/files/backupRuns", ""); code != 200 {
				t.Errorf("Cloud SQL: %d %s", code, raw)
			}
		},
	} {
		all.Go(func() {
			for range 20 {
				call()
			}
		})
	}
	all.Wait()
}

func TestGRPC_WhatIsNotThere(t *testing.T) { // case 55, (b) 53, 56
	t.Parallel()
	w := setup(t)
	err := w.conn.Invoke(w.ctx(), "/none.None/Nothing", &databasepb.GetBackupRequest{}, &databasepb.Backup{})
	refused(t, "service", err, codes.Unimplemented, "unknown service none.None")
	err = w.conn.Invoke(w.ctx(), "/google.spanner.admin.database.v1.DatabaseAdmin/Nothing", &databasepb.GetBackupRequest{}, &databasepb.Backup{})
	refused(t, "method", err, codes.Unimplemented, "unknown method Nothing for service google.spanner.admin.database.v1.DatabaseAdmin")
	_, err = w.admin.CreateDatabase(w.ctx(), &databasepb.CreateDatabaseRequest{})
	refused(t, "CreateDatabase", err, codes.Unimplemented, "method CreateDatabase not implemented")
	w.create(parent, "b1", "db") // the connection is good for more
}

// Java's client reads the details from trailers of their own (spanner.md 6.1).
func TestGRPC_TrailersOfAnError(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var trailer grpcmeta.MD
	name := parent + "/backups/none"
	_, err := w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: name}, grpc.Trailer(&trailer), grpc.UseCompressor(gzip.Name))
	refused(t, "get", err, codes.NotFound, "")
	raw := trailer.Get("google.rpc.resourceinfo-bin")
	var r errdetails.ResourceInfo
	if len(raw) != 1 || proto.Unmarshal([]byte(raw[0]), &r) != nil || r.GetResourceName() != name {
		t.Errorf("trailers %v", trailer)
	}
}

// Messages that are too large, and calls that end in the middle, end alone.
func TestGRPC_LargeAndBrokenCalls(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: strings.Repeat("x", 2<<20)})
	refused(t, "a large message", err, codes.ResourceExhausted, "")
	long := parent + "/backups/" + strings.Repeat("x", 4000)
	_, err = w.admin.GetBackup(w.ctx(), &databasepb.GetBackupRequest{Name: long})
	refused(t, "a long name", err, codes.InvalidArgument, "")
	// The codes are grpc-go's: UNKNOWN for a body that ends in the middle, INTERNAL for one that cannot be read.
	for raw, want := range map[string]string{"\x00\x00\x00\x00\x7fcut": "2", "\x00\x00\x00\x00\x02\xff\xff": "13", "\x02": "2", "\x01\x00\x00\x00\x01x": "13"} {
		req, err := http.NewRequestWithContext(w.ctx(), http.MethodPost, w.URL+"/google.spanner.admin.database.v1.DatabaseAdmin/CreateBackup", strings.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("TE", "trailers")
		p := new(http.Protocols)
		p.SetUnencryptedHTTP2(true)
		resp, err := (&http.Client{Transport: &http.Transport{Protocols: p}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(resp.Body)
		if code := resp.Header.Get("Grpc-Status") + resp.Trailer.Get("Grpc-Status"); err != nil || code != want {
			t.Errorf("%q: grpc-status %q, want %s: %v", raw, code, want, err)
		}
		_ = resp.Body.Close()
	}
	// A caller who leaves takes no accepted request back, and the id tells what became of it.
	ctx, leave := context.WithCancel(w.ctx())
	leave()
	_, err = w.admin.CreateBackup(ctx, request(parent, "b1", "db"))
	refused(t, "a caller who left", err, codes.Canceled, "")
	conn, err := grpc.NewClient(strings.TrimPrefix(w.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = databasepb.NewDatabaseAdminClient(conn).CreateBackup(w.ctx(), request(parent, "cut", "cut"))
	}()
	_ = conn.Close()
	<-done
	w.create(parent, "b2", "db")
	if n := w.requestedEvents(); n != len(w.operations(&databasepb.ListBackupOperationsRequest{})) {
		t.Errorf("%d backups in the log, others are shown", n)
	}
}
