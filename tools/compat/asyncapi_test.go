package compat

import "testing"

func TestAsyncAPI_ParserFindsNoError(t *testing.T) {
	t.Parallel()
	runs(t, "asyncapi.mjs", startUp(t))
}
