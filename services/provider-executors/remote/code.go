package remote

import (
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// codes judges the errors of a scheme's storages by their status. gocloud.dev calls NotFound what Google refuses (an
// object under a retention policy, say), and an Azure host or its token server whose name is not known for a moment: both
// would be taken for a copy that is gone. What S3 refuses for its key it does not know.
func codes(scheme string) func(error) gcerrors.ErrorCode {
	return func(err error) gcerrors.ErrorCode {
		code, status := gcerrors.Code(err), 0
		var google *googleapi.Error
		var azure *azcore.ResponseError
		var amazon *awshttp.ResponseError
		switch {
		case errors.As(err, &google):
			status = google.Code
		case errors.As(err, &azure):
			status = azure.StatusCode
		case errors.As(err, &amazon):
			status = amazon.HTTPStatusCode()
		}
		var said smithy.APIError
		switch {
		case errors.As(err, &said) && said.ErrorCode() == "RequestTimeTooSkewed": // also a 403, and the clock's fault
			return gcerrors.Unknown
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			return gcerrors.PermissionDenied
		case scheme == azureblob.Scheme && code == gcerrors.NotFound && status != http.StatusNotFound:
			return gcerrors.Unknown
		}
		return code
	}
}
