//! What stands on many pages.

use super::words;

words! {
    skip_to_content
        en "Skip to content"
        es "Saltar al contenido"
    your_account
        en "Your account"
        es "Su cuenta"
    error_prefix
        en "Error: "
        es "Error: "

    // Names of pages: the navigation, headings and links say the same.
    applications
        en "Applications"
        es "Aplicaciones"
    my_profile
        en "My Profile"
        es "Mi perfil"
    user_manager
        en "User Manager"
        es "Administración de usuarios"
    company_settings
        en "Company Settings"
        es "Configuración de la empresa"
    sessions
        en "Sessions"
        es "Sesiones"
    audit_trail
        en "Audit Trail"
        es "Registro de auditoría"
    sign_out
        en "Sign out"
        es "Cerrar sesión"

    // Labels and buttons of more than one form.
    username
        en "Username"
        es "Usuario"
    password
        en "Password"
        es "Contraseña"
    next
        en "Next"
        es "Siguiente"
    go_on
        en "Go on"
        es "Continuar"
    back
        en "Back"
        es "Volver"
    not_now
        en "Not now"
        es "Ahora no"
    start_again
        en "Start again"
        es "Empezar de nuevo"
    back_to_log_in
        en "Back to log in"
        es "Volver al inicio de sesión"
    back_to_profile
        en "Back to My Profile"
        es "Volver a Mi perfil"
    name
        en "Name"
        es "Nombre"
    email
        en "Email"
        es "Correo electrónico"
    company
        en "Company"
        es "Empresa"
    person
        en "Person"
        es "Persona"
    reason
        en "Reason"
        es "Motivo"
    reason_hint
        en "Why this is done, in a few words. It is kept in the audit trail."
        es "Por qué se hace, en pocas palabras. Se guarda en el registro de auditoría."
    reason_wanted
        en "Say why, in a few words. It is kept in the audit trail."
        es "Diga por qué, en pocas palabras. Se guarda en el registro de auditoría."
    show
        en "Show"
        es "Mostrar"

    // What happened to a form.
    page_was_open_try
        en "This page was open for a while. Nothing was changed: please try again."
        es "Esta página estuvo abierta mucho tiempo. No se cambió nada: inténtelo de nuevo."
    page_was_open_choose
        en "This page was open for a while. Nothing was changed: please choose again."
        es "Esta página estuvo abierta mucho tiempo. No se cambió nada: elija de nuevo."
    page_was_open_save
        en "This page was open for a while. Nothing was changed: please save again."
        es "Esta página estuvo abierta mucho tiempo. No se cambió nada: guarde de nuevo."
    page_was_open_ended
        en "This page was open for a while. Nothing was ended: please try again."
        es "Esta página estuvo abierta mucho tiempo. No se cerró nada: inténtelo de nuevo."

    // Factors and sessions, in lists.
    factor_added
        en "Added"
        es "Añadido:"
    factor_last_used
        en "last used"
        es "último uso:"
    this_browser
        en "This browser"
        es "Este navegador"
    this_browser_aside
        en "(this browser)"
        es "(este navegador)"
    session_from(address: &str)
        en "From {address}"
        es "Desde {address}"
    address_from(address: &str)
        en "from {address}"
        es "desde {address}"
    session_started
        en "signed in"
        es "inicio:"
    session_last_active
        en "last active"
        es "última actividad:"
    browser_on(browser: &str, system: &str)
        en "{browser} on {system}"
        es "{browser} en {system}"
    a_browser_on(system: &str)
        en "A browser on {system}"
        es "Un navegador en {system}"
    unknown_device
        en "Unknown device"
        es "Dispositivo desconocido"
    unknown_moment
        en "unknown"
        es "desconocido"
    or_between
        en " or "
        es " o "
    months
        en "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
        es "ene feb mar abr may jun jul ago sept oct nov dic"

    // Spans of time.
    one_second
        en "1 second"
        es "1 segundo"
    many_seconds(count: impl std::fmt::Display)
        en "{count} seconds"
        es "{count} segundos"
    one_minute
        en "1 minute"
        es "1 minuto"
    many_minutes(count: impl std::fmt::Display)
        en "{count} minutes"
        es "{count} minutos"
    one_hour
        en "1 hour"
        es "1 hora"
    many_hours(count: impl std::fmt::Display)
        en "{count} hours"
        es "{count} horas"
    one_day
        en "1 day"
        es "1 día"
    many_days(count: impl std::fmt::Display)
        en "{count} days"
        es "{count} días"
    less_than_a_minute
        en "less than a minute"
        es "menos de un minuto"
    less_than_a_day
        en "less than a day"
        es "menos de un día"
    bytes(count: impl std::fmt::Display)
        en "{count} bytes"
        es "{count} bytes"
}
