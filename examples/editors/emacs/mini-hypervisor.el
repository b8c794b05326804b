;;; mini-hypervisor.el --- debug guests of mini_hypervisor -*- lexical-binding: t -*-

;; In your init file:  (load "~/mini_hypervisor/examples/editors/emacs/mini-hypervisor.el")
;;
;; M-x mini-hypervisor-debug builds the guest in the directory of the current buffer and debugs it with gdb-mi, with keys,
;; menu entries and tool bar buttons that run backwards.  M-x dape RET mini-hypervisor does the same with dape, for
;; gdb 14 and later; the guest's terminal is the buffer *guest* then, and N and C after dape's prefix run backwards.

;;; Code:

(require 'gud)
(require 'gdb-mi)
(require 'seq)

(defvar dape-configs)
(defvar dape-global-map)

(defgroup mini-hypervisor nil
  "Debugging guests of mini_hypervisor."
  :group 'tools)

(defcustom mini-hypervisor-command "mini_hypervisor --memory 4"
  "The program, with the options of the machine."
  :type 'string)

(defcustom mini-hypervisor-gdb-script
  (seq-find #'file-readable-p (list (expand-file-name "../../../tools/gdb/mini_hypervisor.py"
                                                      (file-name-directory (or load-file-name default-directory)))
                                    "/usr/share/gdb/auto-load/mini_hypervisor.py"))
  "The gdb commands mh why and so on, which also let dape run backwards."
  :type '(choice (const :tag "None" nil) file))

(defun mini-hypervisor-gdb-arguments ()
  "Arguments for gdb."
  (and mini-hypervisor-gdb-script (list (concat "--init-command=" mini-hypervisor-gdb-script))))

(defun mini-hypervisor-target (elf)
  "What gdb connects to: a machine that runs ELF, which gdb starts and ends."
  (format "| exec %s --gdb stdio --guest %s" mini-hypervisor-command (shell-quote-argument elf)))

(defun mini-hypervisor--add-backwards ()
  "Add to a gdb session what runs backwards: C-x C-a r and a letter, menu, tool bar."
  (gud-def gud-reverse-step "-exec-step --reverse" "rs" "Step one source line backwards.")
  (gud-def gud-reverse-next "-exec-next --reverse" "rn" "Step one source line backwards, over calls.")
  (gud-def gud-reverse-stepi "-exec-step-instruction --reverse" "ri" "Step one instruction backwards.")
  (gud-def gud-reverse-finish "-exec-finish --reverse" "rf" "Run back to the call of the current function.")
  (gud-def gud-reverse-cont "-exec-continue --reverse" "rc" "Run backwards.")
  (gud-def gud-why "mh why" "w" "Explain why the guest has stopped."))

(add-hook 'gdb-mode-hook #'mini-hypervisor--add-backwards)

(dolist (item '((gud-reverse-cont "Continue Backwards" "gud/rcont")
                (gud-reverse-finish "Finish Backwards" "gud/rfinish")
                (gud-reverse-stepi "Step Instruction Backwards" "gud/rstepi")
                (gud-reverse-step "Step Line Backwards" "gud/rstep")
                (gud-reverse-next "Next Line Backwards" "gud/rnext")))
  (define-key gud-menu-map (vector (car item)) `(menu-item ,(nth 1 item) ,(car item) :enable (not gud-running)))
  (when (fboundp 'tool-bar-local-item)
    (tool-bar-local-item (nth 2 item) (car item) (car item) gud-tool-bar-map :help (nth 1 item))))

;;;###autoload
(defun mini-hypervisor-debug (elf)
  "Build the guest ELF with make and debug it from its first instruction."
  (interactive (list (expand-file-name (read-file-name "Guest: " nil "guest.elf"))))
  (let ((default-directory (file-name-directory elf)))
    (unless (zerop (call-process "make" nil "*make*" nil))
      (pop-to-buffer "*make*")
      (user-error "make failed"))
    (gdb (combine-and-quote-strings `("gdb" "-i=mi" ,@(mini-hypervisor-gdb-arguments) ,elf)))
    (gud-call (concat "target remote " (mini-hypervisor-target elf)))))

(defun mini-hypervisor-start (elf)
  "Start a machine that runs ELF and waits for gdb, in the buffer *guest*; return where gdb connects."
  (let ((buffer (get-buffer-create "*guest*"))
        (command (format "exec %s --gdb 0 --guest %s" mini-hypervisor-command (shell-quote-argument elf))))
    (when (get-buffer-process buffer)
      (delete-process buffer))
    (with-current-buffer buffer
      (erase-buffer))
    (make-comint-in-buffer "guest" buffer shell-file-name nil shell-command-switch command)
    (display-buffer buffer)
    (with-current-buffer buffer
      (while (not (save-excursion (goto-char (point-min)) (re-search-forward "target remote \\([^']+\\)'" nil t)))
        (unless (accept-process-output (get-buffer-process buffer) 10)
          (pop-to-buffer buffer)
          (user-error "The guest did not start")))
      (match-string 1))))

(declare-function dape--live-connection "dape")
(declare-function dape--next-like-command "dape")

(defun mini-hypervisor-dape-step-back (conn)
  "Step one line backwards."
  (interactive (list (dape--live-connection 'stopped)))
  (dape--next-like-command conn :stepBack))

(defun mini-hypervisor-dape-reverse-continue (conn)
  "Run backwards."
  (interactive (list (dape--live-connection 'stopped)))
  (dape--next-like-command conn :reverseContinue))

(with-eval-after-load 'dape
  (define-key dape-global-map "N" #'mini-hypervisor-dape-step-back)
  (define-key dape-global-map "C" #'mini-hypervisor-dape-reverse-continue)
  (add-to-list 'dape-configs
               `(mini-hypervisor
                 modes (c-mode c-ts-mode asm-mode)
                 command "gdb"
                 command-args ("--interpreter=dap" ,@(mini-hypervisor-gdb-arguments))
                 compile "make"
                 :request "attach"
                 :program ,(lambda () (expand-file-name "guest.elf"))
                 :target ,(lambda () (mini-hypervisor-start (expand-file-name "guest.elf"))))))

(provide 'mini-hypervisor)
;;; mini-hypervisor.el ends here
