package remote

import (
	"errors"
	"net"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// code is gcerrors.Code where that can be relied on. It calls NotFound what Google refuses (an object under a retention
// policy, say), and an Azure host whose name is not known for a moment: both would be taken for a copy that is gone.
func code(err error) gcerrors.ErrorCode {
	status := 0
	var google *googleapi.Error
	var azure *azcore.ResponseError
	var unknown *net.DNSError
	switch {
	case errors.As(err, &google):
		status = google.Code
	case errors.As(err, &azure):
		status = azure.StatusCode
	case errors.As(err, &unknown):
		return gcerrors.Unknown
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return gcerrors.PermissionDenied
	}
	return gcerrors.Code(err)
}
