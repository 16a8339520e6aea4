package cloudsql

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

const maxBody = 1 << 20

// write sends an answer with the headers of cloudsql.md 2.2, indented unless prettyPrint is false.
func write(w http.ResponseWriter, r *http.Request, code int, answer any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=UTF-8")
	h.Set("Cache-Control", "private")
	h.Set("Server", "ESF")
	h.Set("Vary", "Origin, X-Origin, Referer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if p := r.URL.Query().Get("prettyPrint"); p != "false" && p != "0" {
		enc.SetIndent("", "  ")
	}
	_ = enc.Encode(answer) // a client that has gone cannot be told
}

// insertBody is what an insert honours of a BackupRun; everything else in it is ignored (cloudsql.md 5.1).
type insertBody struct {
	Description *string `json:"description"`
	Location    *string `json:"location"`
}

func parseError(message string) *apiError {
	return &apiError{http.StatusBadRequest, "parseError", "Invalid JSON payload received. " + message, "INVALID_ARGUMENT"}
}

// readInsert reads the body of an insert: a JSON object, or nothing at all.
func readInsert(r io.Reader) (description, location string, err error) {
	raw, err := io.ReadAll(r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return "", "", errTooLarge
	case err != nil:
		return "", "", parseError("The body ended early.")
	case strings.TrimSpace(string(raw)) == "":
		return "", "", nil
	}
	var b insertBody
	if err := json.Unmarshal(raw, &b); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			message := "Invalid value at '" + wrong.Field + "', a " + wrong.Value + " cannot be read here."
			if wrong.Field == "" {
				message = "The body is not a JSON object."
			}
			return "", "", &apiError{http.StatusBadRequest, "invalid", message, "INVALID_ARGUMENT"}
		}
		return "", "", parseError("Expected a JSON object.")
	}
	if b.Description != nil {
		description = *b.Description
	}
	if b.Location != nil {
		location = *b.Location
	}
	return description, location, nil
}
