package gaussdb

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/backupbus/backupbus/services/requester/intake"
)

// apiError is an answer that is none of the 2xx (gaussdb.md 5.1).
type apiError struct {
	status  int
	code    string
	message string        // English
	again   time.Duration // Retry-After
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// envelope of the service; the gateway's, before it, has the request's id and speaks English only (5.4).
type envelope struct {
	Code      string `json:"error_code"`
	Message   string `json:"error_msg"`
	RequestID string `json:"request_id,omitempty"`
}

func (e *apiError) envelope(lang, requestID string) envelope {
	if strings.HasPrefix(e.code, "APIGW.") {
		return envelope{e.code, e.message, requestID}
	}
	return envelope{Code: e.code, Message: e.text(lang)}
}

func (e *apiError) text(lang string) string {
	if zh := chinese[e.code]; lang == zhCN && zh != "" {
		return zh
	}
	return e.message
}

// Languages of X-Language; every other value is English (2.1).
const zhCN = "zh-cn"

func language(r *http.Request) string { return strings.ToLower(r.Header.Get("X-Language")) }

// unauthorized is every refusal of who asks (8, rows 1 to 8).
func unauthorized(why string) *apiError {
	return &apiError{status: http.StatusUnauthorized, code: "APIGW.0301", message: "Incorrect IAM authentication information: " + why}
}

func refusal(status int, code, message string) *apiError {
	return &apiError{status: status, code: code, message: message}
}

// The refusals of gaussdb.md 5.2 and 5.3 that this door gives.
var (
	errPath      = refusal(http.StatusNotFound, "APIGW.0101", "The API does not exist or has not been published in the environment")
	errMethod    = refusal(http.StatusNotFound, "APIGW.0101", "The API does not exist.")
	errRequest   = refusal(http.StatusBadRequest, "APIGW.0201", "API request error.")
	errTooLarge  = refusal(http.StatusRequestEntityTooLarge, "APIGW.0201", "Request entity too large.")
	errThrottled = &apiError{http.StatusTooManyRequests, "APIGW.0308", "The throttling threshold has been reached", time.Second}

	errProject     = refusal(http.StatusForbidden, "DBS.200010", "The DB instance ID or user ID may be null, or the operation is not authorized.")
	errAction      = refusal(http.StatusForbidden, "DBS.280015", "Resource not found or permission denied.")
	errNull        = refusal(http.StatusBadRequest, "DBS.200006", "The request is null. Enter a request parameter.")
	errParameter   = refusal(http.StatusBadRequest, "DBS.280001", "Parameter error.")
	errInstanceID  = refusal(http.StatusBadRequest, "DBS.280404", "Invalid DB instance ID or node ID format.")
	errName        = refusal(http.StatusBadRequest, "DBS.280277", "Invalid object name.")
	errDescription = refusal(http.StatusBadRequest, "DBS.280127", "Invalid backup description.")
	errLimit       = refusal(http.StatusBadRequest, "DBS.280439", "Invalid records. Enter a positive integer less than 100.")
	errTime        = refusal(http.StatusBadRequest, "DBS.280216", "Invalid backup start time.")
	errStart       = refusal(http.StatusBadRequest, "DBS.280253", "Invalid backup start time.")
	errKeepDays    = refusal(http.StatusBadRequest, "DBS.280250", "Invalid backup retention days.")
	errPeriod      = refusal(http.StatusBadRequest, "DBS.280251", "Invalid backup cycle.")
	errLevel1      = refusal(http.StatusBadRequest, "DBS.280204", "Invalid parameter.")
	errNoInstance  = refusal(http.StatusNotFound, "DBS.201028", "The DB instance does not exist.")
	errNoBackup    = refusal(http.StatusBadRequest, "DBS.201203", "The backup file does not exist.")
	errNoJob       = refusal(http.StatusBadRequest, "DBS.200543", "The job does not exist.")
	errBackupState = refusal(http.StatusBadRequest, "DBS.201208", "The operation is not allowed by the backup status.")
	errFrozen      = refusal(http.StatusBadRequest, "DBS.280449", "Operation not allowed on frozen objects.")
	errBackingUp   = refusal(http.StatusConflict, "DBS.200047", "Another operation is being performed on the DB instance or the DB instance is faulty.")
	errBusy        = refusal(http.StatusConflict, "DBS.200019", "Another operation is being performed on the DB instance or the DB instance is faulty.")
	errType        = refusal(http.StatusConflict, "DBS.280406", "Operation not allowed by the DB instance type or status.")
	errServer      = refusal(http.StatusInternalServerError, "DBS.200005", "Server failure.")
)

// chinese are the texts for X-Language: zh-cn. The first are the vendor's of a sibling (5.4), the others translated.
var chinese = map[string]string{
	"DBS.280001": "参数错误。",
	"DBS.201028": "数据库实例不存在。",
	"DBS.200005": "服务器错误。",
	"DBS.200006": "请求为空，请输入请求参数。",
	"DBS.200010": "实例ID和用户ID可能为空，或者操作越权。",
	"DBS.200019": "该实例正在进行其它操作或该实例故障，无法执行该操作，请稍后重试。",
	"DBS.200047": "该实例正在进行其它操作或该实例故障，无法执行该操作，请稍后重试。",
	"DBS.280015": "访问资源不存在，或者无访问权限。",

	"DBS.200543": "任务不存在。",
	"DBS.201203": "备份文件不存在。",
	"DBS.201208": "备份状态不允许做该操作。",
	"DBS.280127": "备份描述不合法。",
	"DBS.280204": "参数不合法。",
	"DBS.280216": "备份开始时间不合法。",
	"DBS.280250": "备份保留天数不合法。",
	"DBS.280251": "备份周期不合法。",
	"DBS.280253": "备份开始时间不合法。",
	"DBS.280277": "对象名称不合法。",
	"DBS.280404": "实例ID或节点ID格式不合法。",
	"DBS.280406": "实例类型或状态不允许做该操作。",
	"DBS.280439": "查询记录数不合法，请输入不大于100的正整数。",
	"DBS.280449": "不允许操作冻结的对象。",
}

// convertError is the one table from what intake says to what the vendor says.
func convertError(err error) *apiError {
	var own *apiError
	if errors.As(err, &own) {
		return own
	}
	var e *intake.Error
	if !errors.As(err, &e) {
		return errServer
	}
	switch e.Reason {
	case intake.InstanceNotFound:
		return errNoInstance
	case intake.BackupNotFound:
		return errNoBackup
	case intake.OperationNotFound:
		return errNoJob
	case intake.NotDeletable, intake.Held:
		return errBackupState
	case intake.PendingBackupExists:
		return errBusy
	}
	switch e.Kind {
	case intake.Invalid:
		return errParameter
	case intake.NotFound:
		return errNoBackup
	case intake.Conflict:
		return errBusy
	case intake.Exhausted:
		return errThrottled
	}
	return errServer
}
