package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/backupbus/backupbus/services/secret"
)

// client talks to the native API of one project.
type client struct {
	base  string // …/api/v1/projects/{project}
	key   string // Idempotency-Key of the next call, empty for none
	token func() (secret.Value, error)
	http  *http.Client
}

func newClient(server, project string, token func() (secret.Value, error)) *client {
	return &client{
		token: token,
		base:  strings.TrimRight(server, "/") + "/api/v1/projects/" + url.PathEscape(project),
		http:  &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// apiError is a refusal of the server.
type apiError struct {
	Status     int    `json:"status"`
	Title      string `json:"title"`
	Reason     string `json:"reason"`
	Detail     string `json:"detail"`
	Violations []struct {
		Path    string `json:"path"`
		Message string `json:"message"`
	} `json:"violations"`
}

func (e *apiError) Error() string {
	s := e.Detail
	if e.Reason != "" {
		s = e.Reason + ": " + s
	}
	for _, v := range e.Violations {
		s += fmt.Sprintf("\n  %s: %s", v.Path, v.Message)
	}
	return s
}

func (e *apiError) code() int {
	switch {
	case e.Status == http.StatusNotFound, e.Status == http.StatusConflict:
		return exitConflict
	case e.Status >= 400 && e.Status < 500:
		return exitUsage
	}
	return exitFailed
}

const callLimit = 30 * time.Second

// call sends in as JSON, if it is not nil, and reads the answer into out, if it is not nil.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return &exit{exitUsage, fmt.Errorf("--server: %w", err)}
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	token, err := c.token()
	if err != nil {
		return err
	}
	if !token.None() {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no answer from the server (is `backupbus up` running? --server names its address): %w", unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		return refusal(resp)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// answers tells whether a server is there, so that what waits for ever does not wait for one that is not.
func (c *client) answers(ctx context.Context) error {
	err := c.call(ctx, http.MethodGet, "/instances?limit=1", nil, nil)
	var e *apiError
	if errors.As(err, &e) && e.Status == http.StatusForbidden { // it is there; what is asked next has a permission of its own
		return nil
	}
	return err
}

func refusal(resp *http.Response) error {
	e := &apiError{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(e); err != nil || e.Detail == "" {
		e.Detail = "the server answered " + resp.Status
	}
	e.Status = resp.StatusCode
	return e
}

// unwrapURL drops the method and URL that http.Client puts in front: the caller knows them.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
