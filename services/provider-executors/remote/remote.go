// Package remote opens the object storages of the clouds for package archive: S3 and what speaks its
// protocol, Google Cloud Storage, Azure Blob Storage. It alone imports their SDKs, so only the programs
// that run executors are built with them.
//
//	s3://BUCKET?region=eu-central-1&prefix=backups/
//	s3://BUCKET?region=us-east-1&endpoint=https://minio.example.com&use_path_style=true
//	gs://BUCKET?prefix=backups/
//	azblob://CONTAINER?prefix=backups/
//
// What the executor needs to be allowed in S3: PutObject, GetObject, DeleteObject, AbortMultipartUpload, and on
// the bucket ListBucket and ListBucketMultipartUploads.
//
// A bucket that is open to all is gs://BUCKET?anonymous=true, one of an emulator's too, with its address in
// STORAGE_EMULATOR_HOST; one of Microsoft's emulator is azblob://CONTAINER?protocol=http&localemu=true&domain=127.0.0.1:10000.
//
// Parameters are those of gocloud.dev's openers. Credentials come from where each SDK looks for them (the
// environment and files of the executor's process, the machine's identity) and never from a URL.
package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
)

// Openers are the schemes of this package.
func Openers() map[string]archive.Opener {
	return map[string]archive.Opener{
		s3blob.Scheme:    prefixed(openS3),
		gcsblob.Scheme:   prefixed(openGCS),
		azureblob.Scheme: prefixed(openAzure),
	}
}

// openS3 lets the SDK validate only the checksums that the protocol requires: what is read back is compared
// with our own, and servers that are not Amazon's send none.
func openS3(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	q := u.Query()
	if !q.Has("response_checksum_validation") {
		q.Set("response_checksum_validation", "when_required")
	}
	u.RawQuery = q.Encode()
	return new(s3blob.URLOpener).OpenBucketURL(ctx, u)
}

func openAzure(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	return (&azureblob.URLOpener{
		MakeClient:        azureblob.NewDefaultClient,
		ServiceURLOptions: *azureblob.NewDefaultServiceURLOptions(),
	}).OpenBucketURL(ctx, u)
}

// gcsClient is made once: it holds the machine's token.
var gcsClient = sync.OnceValues(func() (*gcp.HTTPClient, error) {
	ctx := context.Background() // the token is refreshed for as long as the process lives
	creds, err := gcp.DefaultCredentials(ctx)
	if err != nil {
		return nil, err
	}
	return gcp.NewHTTPClient(gcp.DefaultTransport(), gcp.CredentialsTokenSource(creds))
})

func openGCS(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	opener := new(gcsblob.URLOpener)
	q := u.Query()
	nobody, _ := strconv.ParseBool(q.Get("anonymous")) // gcsblob refuses what is no boolean
	if !nobody && q.Get("access_id") != "-" {
		client, err := gcsClient()
		if err != nil {
			return nil, err
		}
		opener.Client = client
	}
	return opener.OpenBucketURL(ctx, u)
}

// refused words why a bucket could not be opened. The drivers repeat the whole URL, in whose query somebody
// may have put a secret: only the names of its parameters are told.
func refused(u *url.URL, err error) error {
	var known *events.Failure
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	names := slices.Sorted(maps.Keys(u.Query()))
	return &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: fmt.Sprintf(
		"the storage could not be opened with the parameters %s: see the documentation of gocloud.dev for those of %s, and that the executor's process has credentials", strings.Join(names, ", "), u.Scheme)}
}

// prefixed takes `prefix` out of the query, which no opener knows, and refuses what does not belong there.
func prefixed(open func(context.Context, *url.URL) (*blob.Bucket, error)) archive.Opener {
	return func(ctx context.Context, u *url.URL) (archive.Remote, error) {
		if u.User != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return archive.Remote{}, &events.Failure{Code: events.ProviderRejected, Category: events.ByUser,
				Message: fmt.Sprintf("a storage URL is %s://BUCKET?parameters: a folder in the bucket is prefix=…, and credentials are never part of it", u.Scheme)}
		}
		q := u.Query()
		prefix := q.Get("prefix")
		q.Del("prefix")
		plain := *u
		plain.Path, plain.RawQuery = "", q.Encode()
		b, err := open(ctx, &plain)
		if err != nil {
			return archive.Remote{}, refused(u, err)
		}
		r := archive.Remote{Bucket: b, Sweep: sweeper(b, u.Host, prefix), Code: codes(u.Scheme)}
		if prefix != "" {
			r.Bucket = blob.PrefixedBucket(b, prefix)
		}
		if u.Scheme == azureblob.Scheme {
			r.NewWriter = uploads(r.Bucket)
		}
		return r, nil
	}
}
