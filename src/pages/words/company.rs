//! Pages of a company's admin and user manager.

use super::words;

words! {
    // Company Settings.
    nothing_to_set
        en "There is nothing to set for your company yet."
        es "Todavía no hay nada que configurar para su empresa."
    mfa_heading
        en "Multi-factor Authentication"
        es "Autenticación multifactor"
    mfa_about
        en "With multi-factor authentication on, everybody in your company proves a second thing besides the password, such as a one-time code. Whoever has none yet chooses one at their next sign-in."
        es "Con la autenticación multifactor activada, todas las personas de su empresa presentan una segunda prueba además de la contraseña, por ejemplo un código de un solo uso. Quien todavía no tenga ninguna la elige en su próximo inicio de sesión."
    mfa_ways(ways: &str)
        en "What people can choose: {ways}."
        es "Lo que se puede elegir: {ways}."
    on
        en "On"
        es "Activada"
    off
        en "Off"
        es "Desactivada"
    when_switched_on
        en "When it is switched on, people who are signed in are asked"
        es "Al activarla, a quienes tienen la sesión iniciada se les pide"
    asked_at_next_page
        en "at the next page they open"
        es "en la próxima página que abran"
    asked_at_next_sign_in
        en "at their next sign-in"
        es "en su próximo inicio de sesión"
    save_settings
        en "Save Settings"
        es "Guardar configuración"
    settings_saved
        en "Your settings are saved."
        es "Su configuración se guardó."
    settings_saved_title
        en "Your settings are saved"
        es "Su configuración se guardó"
    mfa_is_on_for(company: &str)
        en "Multi-factor Authentication is On for {company}."
        es "La autenticación multifactor está activada para {company}."
    asked_next_yourself
        en "You are asked for your own second proof next: have your phone at hand."
        es "A continuación se le pedirá su propia segunda verificación: tenga su teléfono a mano."
    choose_on_or_off
        en "Choose On or Off."
        es "Elija Activada o Desactivada."
    operator_requires
        en "The operator of this service requires it for your company."
        es "El operador de este servicio la exige para su empresa."
    operator_switched_off
        en "The operator of this service has switched it off for your company."
        es "El operador de este servicio la ha desactivado para su empresa."
    release_reached
        en "This is being released company by company. It has reached yours."
        es "Esto se está introduciendo empresa por empresa. Ya ha llegado a la suya."
    sso_release_reached(product: &str)
        en "Going on to {product} without logging in again is being released company by company. It has reached yours."
        es "Pasar a {product} sin volver a iniciar sesión se está introduciendo empresa por empresa. Ya ha llegado a la suya."
    sso_release_not_yet(product: &str)
        en "Going on to {product} without logging in again is being released company by company. It has not reached yours yet."
        es "Pasar a {product} sin volver a iniciar sesión se está introduciendo empresa por empresa. Todavía no ha llegado a la suya."
    release_not_yet
        en "A second proof at sign-in is being released company by company. It has not reached yours yet."
        es "La segunda verificación al iniciar sesión se está introduciendo empresa por empresa. Todavía no ha llegado a la suya."
    release_paused
        en "A second proof at sign-in is being released company by company. It has not reached yours yet, and the release is paused at the moment."
        es "La segunda verificación al iniciar sesión se está introduciendo empresa por empresa. Todavía no ha llegado a la suya, y por ahora está en pausa."

    // User Manager: the list.
    search
        en "Search"
        es "Buscar"
    search_hint
        en "The beginning of a name, a login or an email."
        es "El principio de un nombre, de un usuario o de un correo electrónico."
    nobody_here
        en "There is nobody here."
        es "Aquí no hay nadie."
    nobody_found(company: &str, q: &str)
        en "Nobody in {company} is found by “{q}”."
        es "No se encuentra a nadie en {company} con “{q}”."
    people
        en "People"
        es "Personas"
    disabled
        en "Disabled"
        es "Desactivado"
    first_page
        en "First page"
        es "Primera página"
    next_page
        en "Next page"
        es "Página siguiente"

    // User Manager: one person.
    profile
        en "Profile"
        es "Perfil"
    phone
        en "Phone"
        es "Teléfono"
    roles
        en "Roles"
        es "Funciones"
    account_of(product: &str)
        en "{product} account"
        es "Cuenta de {product}"
    no_factor_set_up
        en "No second factor is set up."
        es "No hay ningún segundo factor configurado."
    reset_mfa
        en "Reset MFA"
        es "Restablecer MFA"
    this_is_you
        en "This is you."
        es "Es usted."
    nobody_resets_themselves
        en "Nobody can reset, disable or sign out themselves here, so that nobody locks themselves out:"
        es "Aquí nadie puede restablecerse, desactivarse ni cerrar su propia sesión, para que nadie se quede sin acceso:"
    change_your_own_in
        en "change your own sign-in in"
        es "cambie su propio inicio de sesión en"
    or_ask_another_manager
        en ", or ask another user manager."
        es ", o pídaselo a otro administrador de usuarios."
    change_heading
        en "Change"
        es "Cambios"
    sign_in_legend
        en "Sign-in"
        es "Inicio de sesión"
    enabled
        en "Enabled"
        es "Activado"
    disabled_cannot_log_in
        en "Disabled: can’t log in"
        es "Desactivado: no puede iniciar sesión"
    accounts
        en "Accounts"
        es "Cuentas"
    unlink_choice
        en "Reset Single Sign-On: other applications are paired anew"
        es "Restablecer el inicio de sesión único: las demás aplicaciones se vinculan de nuevo"
    send_link_choice
        en "Send a link to set a new password"
        es "Enviar un enlace para establecer una contraseña nueva"
    granted
        en "Granted"
        es "Concedido"
    not_granted
        en "Not granted"
        es "No concedido"
    granted_one_by_one
        en "Applications that are granted one by one"
        es "Aplicaciones que se conceden una por una"
    grant_choice(product: &str)
        en "Grant {product}"
        es "Conceder {product}"
    take_back_choice(product: &str)
        en "Take {product} back: its open pages close at once"
        es "Retirar {product}: sus páginas abiertas se cierran enseguida"
    sign_out_everywhere
        en "Sign out everywhere"
        es "Cerrar sesión en todas partes"
    reset_warning(name: &str)
        en "When you save, every second factor of {name} is removed, with recovery codes and remembered devices, and {name} is signed out everywhere. At the next sign-in a new one is set up."
        es "Al guardar, se quitan todos los segundos factores de {name}, junto con los códigos de recuperación y los dispositivos recordados, y su sesión se cierra en todas partes. En el próximo inicio de sesión se configura uno nuevo."
    do_not_reset
        en "Don’t reset"
        es "No restablecer"
    not_signed_in_anywhere
        en "Not signed in anywhere."
        es "No tiene la sesión iniciada en ninguna parte."
    last_sign_ins
        en "Last sign-ins"
        es "Últimos inicios de sesión"
    none_on_record
        en "None is on record."
        es "No hay ninguno registrado."
    sign_in_ok
        en "Signed in"
        es "Sesión iniciada"
    sign_in_refused
        en "Refused: wrong password, or not allowed"
        es "Rechazado: contraseña incorrecta o sin permiso"
    sign_in_throttled
        en "Refused: too many attempts"
        es "Rechazado: demasiados intentos"
    sign_in_factor_wanted
        en "Password right, second factor asked for"
        es "Contraseña correcta, se pidió el segundo factor"
    sign_in_expired
        en "The password has expired"
        es "La contraseña caducó"
    sign_in_not_finished
        en "Not finished"
        es "Sin terminar"

    // What was saved.
    nothing_was_changed
        en "Nothing was changed."
        es "No se cambió nada."
    choose_once_more
        en "Nothing was changed yet: please choose once more, and press the button."
        es "Todavía no se cambió nada: elija de nuevo y pulse el botón."
    saved_mfa(name: &str)
        en "Saved. Multi-factor authentication is reset: {name} is signed out everywhere and sets it up anew at the next sign-in."
        es "Guardado. La autenticación multifactor se restableció: la sesión de {name} se cerró en todas partes y la configurará de nuevo en el próximo inicio de sesión."
    saved_disabled(name: &str)
        en "Saved. {name} is signed out everywhere and can't log in any more."
        es "Guardado. La sesión de {name} se cerró en todas partes y ya no puede iniciar sesión."
    saved_enabled(name: &str)
        en "Saved. {name} can log in again."
        es "Guardado. {name} puede iniciar sesión de nuevo."
    saved_unlinked(name: &str)
        en "Saved. {name}'s accounts are paired no more: they can pair anew."
        es "Guardado. Las cuentas de {name} ya no están vinculadas: puede vincularlas de nuevo."
    saved_link(name: &str)
        en "Saved. A link to set a new password was sent to {name}."
        es "Guardado. Se envió a {name} un enlace para establecer una contraseña nueva."
    saved_no_link(name: &str)
        en "{name} has no account to sign in with, or no address for mail: no link was sent. Everything else is saved."
        es "{name} no tiene una cuenta con la que iniciar sesión o no tiene dirección de correo: no se envió ningún enlace. Todo lo demás se guardó."
    saved_granted(name: &str)
        en "Saved. What you granted is open to {name} at once."
        es "Guardado. Lo que usted concedió está disponible para {name} desde ahora."
    saved_taken_back(name: &str)
        en "Saved. What you took back is closed to {name}."
        es "Guardado. Lo que usted retiró está cerrado para {name}."
    saved_sessions(name: &str)
        en "Saved. {name} is signed out everywhere."
        es "Guardado. La sesión de {name} se cerró en todas partes."

    // Sessions.
    one_sign_in_at_work(company: &str)
        en "{company}: 1 sign-in is at work now."
        es "{company}: hay 1 sesión en uso ahora."
    many_sign_ins_at_work(company: &str, count: impl std::fmt::Display)
        en "{company}: {count} sign-ins are at work now."
        es "{company}: hay {count} sesiones en uso ahora."
    one_sign_in_at_work_by(company: &str, person: &str)
        en "{company}: 1 sign-in is at work now, by {person}."
        es "{company}: hay 1 sesión en uso ahora, de {person}."
    many_sign_ins_at_work_by(company: &str, count: impl std::fmt::Display, person: &str)
        en "{company}: {count} sign-ins are at work now, by {person}."
        es "{company}: hay {count} sesiones en uso ahora, de {person}."
    person_hint
        en "As in User Manager, such as “kim”."
        es "Como en Administración de usuarios, por ejemplo “kim”."
    person_hint_everybody
        en "As in User Manager, such as “kim”. Empty: everybody."
        es "Como en Administración de usuarios, por ejemplo “kim”. Vacío: todas las personas."
    nobody_signed_in
        en "Nobody is signed in."
        es "Nadie tiene la sesión iniciada."
    and_more_look(count: impl std::fmt::Display)
        en "And {count} more: look for a person."
        es "Y {count} más: busque a una persona."
    besides_the_chosen
        en "Besides the chosen ones"
        es "Además de las elegidas"
    end_every_session
        en "End every session of the company but this one"
        es "Cerrar todas las sesiones de la empresa menos esta"
    end_sessions
        en "End sessions"
        es "Cerrar sesiones"
    choose_sessions
        en "Choose the sessions to end."
        es "Elija las sesiones que quiere cerrar."
    sessions_had_ended
        en "They had ended already."
        es "Ya se habían cerrado."
    one_session_ended
        en "1 session is ended."
        es "Se cerró 1 sesión."
    many_sessions_ended(count: impl std::fmt::Display)
        en "{count} sessions are ended."
        es "Se cerraron {count} sesiones."

    // The audit trail. The events' own words are those of the files: programs read them too.
    event
        en "Event"
        es "Evento"
    event_hint
        en "Empty: any."
        es "Vacío: cualquiera."
    day_from
        en "From"
        es "Desde"
    day_to
        en "To"
        es "Hasta"
    audit_order(zone: &str)
        en "Newest first; days are those of {zone}. Without a From, the last 90 days are shown."
        es "Lo más reciente primero; los días son los de {zone}. Sin fecha en Desde, se muestran los últimos 90 días."
    nothing_on_record
        en "There is nothing on record for this choice."
        es "No hay nada registrado para esta selección."
    audit_lines
        en "Audit lines"
        es "Líneas de auditoría"
    unknown_person
        en "Unknown"
        es "Desconocido"
    because(reason: &str)
        en ", because: {reason}"
        es ", motivo: {reason}"
    older_lines
        en "Older lines"
        es "Líneas anteriores"
    export_csv
        en "Export as CSV"
        es "Exportar como CSV"
    write_days_as
        en "Write days as 2026-11-21."
        es "Escriba los días como 2026-11-21."
}
