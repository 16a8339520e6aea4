// Package archive keeps the copies that self-hosted engines make: one object and one manifest for an
// attempt, in a named storage.
//
//	{storage}:{project}/{instance}/{backupId}/attempt-{n}/data.sqlite.zst
//	                                                      manifest.json
//
// The bytes of the tool go through zstd and SHA-256 into the object. The manifest is written last, when
// the caller has proven the object: no manifest means no backup. Whatever fails before leaves nothing
// behind; what a killed process leaves is found under the same prefix and removed by Copy.Delete.
//
// Every error that belongs into an event holds an *events.Failure. Its message names the storage, never
// a path or an address; the raw error is wrapped beside it for the log.
package archive
