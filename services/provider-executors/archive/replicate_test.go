package archive

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/backupbus/backupbus/events"
)

// twoPlaces are one copy in a folder and the same key in a remote storage.
func twoPlaces(t *testing.T) (near, far *Copy) {
	t.Helper()
	s, err := Open(t.Context(), Options{
		URLs: map[string]string{"main": "file://" + t.TempDir(), "far": "mem://far"},
		Openers: map[string]Opener{"mem": func(context.Context, *url.URL) (Remote, error) {
			return Remote{Bucket: memblob.OpenBucket(nil)}, nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	j := job(1)
	j.Config.Storage = "main"
	if near, err = s.Of(j); err != nil {
		t.Fatal(err)
	}
	j.Config.Storage = "far"
	if far, err = s.Of(j); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestCopyTo_ObjectTooLargeForARemoteStorage_IsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	near, far := twoPlaces(t)
	m := stored(t, near, text(1000))
	m.Objects[0].StoredBytes = maxPart*maxParts + 1
	err := near.CopyTo(t.Context(), far, m)
	wantCode(t, err, events.ProviderRejected)
	var f *events.Failure
	if !errors.As(err, &f) || f.Retryable {
		t.Errorf("%+v is tried again", f)
	}
	if left, err := far.Remains(t.Context()); err != nil || left {
		t.Errorf("begun all the same: %v, %v", left, err)
	}
	var source *SourceError
	if err := near.CopyTo(t.Context(), near, m); errors.As(err, &source) || err == nil {
		t.Errorf("onto itself: %v", err)
	}
}

func TestCopyTo_FaultOfTheSourceIsToldFromThatOfTheTarget(t *testing.T) {
	t.Parallel()
	near, far := twoPlaces(t)
	m := stored(t, near, text(1000))
	if err := near.CopyTo(t.Context(), far, m); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Check(t.Context(), m); err != nil {
		t.Error(err)
	}
	wantCode(t, near.CopyTo(t.Context(), far, m), events.AlreadyExists)
	if _, err := far.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := near.at.bucket.Delete(t.Context(), near.prefix+m.Objects[0].Name); err != nil {
		t.Fatal(err)
	}
	var source *SourceError
	if err := near.CopyTo(t.Context(), far, m); !errors.As(err, &source) {
		t.Errorf("%v", err)
	}
}

func TestAttempts_AreThoseUpToItsOwn(t *testing.T) {
	t.Parallel()
	_, dir := setup(t)
	c := opened(t, dir)
	c.prefix = "shop/a/bk_x/attempt-3/"
	var got []string
	for _, a := range c.Attempts() {
		got = append(got, a.prefix)
	}
	if len(got) != 3 || got[0] != c.prefix || got[2] != "shop/a/bk_x/attempt-1/" {
		t.Errorf("%v", got)
	}
}
