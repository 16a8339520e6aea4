package cloudsql

import (
	"encoding/json"
	"net/http"
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

func parseError(message string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "parseError", message: "Invalid JSON payload received. " + message, status: "INVALID_ARGUMENT"}
}
