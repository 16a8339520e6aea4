package remote

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
)

// sweeper ends unfinished multipart uploads of S3. The other storages forget theirs: Google's after a week,
// Azure's uncommitted blocks too.
func sweeper(b *blob.Bucket, bucket, within string) func(context.Context, string) error {
	var client *s3.Client
	if !b.As(&client) {
		return nil
	}
	return func(ctx context.Context, prefix string) error {
		pages := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{
			Bucket: aws.String(bucket), Prefix: aws.String(within + prefix),
		})
		var errs []error
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if none(err) {
				break // how some servers say that there are none
			}
			if err != nil {
				return errors.Join(append(errs, err)...)
			}
			for _, u := range page.Uploads {
				_, err := client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: u.Key, UploadId: u.UploadId})
				if !none(err) {
					errs = append(errs, err)
				}
			}
		}
		return errors.Join(errs...)
	}
}

// none tells that an upload, or any, is not there.
func none(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "NoSuchUpload"
}
